"""The policy in force in this process: held, looked at, swapped whole.

``snapshot()`` is what a request asks for, once. It looks at the state row at
most once per ``POLICY_MAX_AGE`` and after every change that this process has
committed; a look costs one query, a reload a dozen. Promises:

- One thread looks. Others go on with the held snapshot only while its last
  good look is younger than twice ``POLICY_MAX_AGE``; else they wait, so that
  an idle worker never answers by an hour-old policy.
- A failed read keeps the held snapshot, for ``POLICY_MAX_STALENESS`` at most.
- What is read inside an open transaction serves that transaction alone.
- Before apiguard's tables are made there is no policy: ``None``. Tables that
  vanish later are a failed read.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from django.db import Error as DatabaseError
from django.db import connections, transaction

from .. import conf
from ..models.state import Change, PendingChange, PolicyState, committed, write_alias
from . import load
from .compile import compile_rows
from .keyring import Keyring
from .rows import Rows
from .snapshot import Snapshot, empty

logger = logging.getLogger("apiguard.policy")

# After a failed look nobody looks for this long: requests must not queue for
# a database that does not answer.
RETRY_SECONDS = 1.0


class PolicyUnavailable(Exception):
    """There is no policy to judge by: it could not be read, or it is too old."""


class Current:
    """Holds the newest snapshot of this process."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._held: Snapshot | None = None
        self._override: Snapshot | None = None
        # Monotonic seconds; None: never.
        self._looked_at: float | None = None
        self._failed_at: float | None = None
        self._looking_since: float | None = None
        self._committed = committed.count
        self._epoch = committed.epoch
        self._without_tables = False

    # -- what requests ask --------------------------------------------------

    def ready(self) -> Snapshot | None:
        """The held snapshot if it may be used without any I/O, else ``None``."""
        if self._override is not None:
            return self._override
        if PendingChange.any_alive():
            return None
        if self._held is None or self._epoch != committed.epoch:
            return None
        return self._held if self._is_fresh(1) else None

    def snapshot(self) -> Snapshot | None:
        """The policy to judge one request by; ``None`` before ``migrate``.

        Raises:
            PolicyUnavailable: it cannot be told what is guarded.
        """
        if self._override is not None:
            return self._override
        if self._epoch != committed.epoch:
            self.forget()
        pending = PendingChange.newest(write_alias())
        if pending is not None:
            return self._uncommitted(pending)
        if conf.current().policy_max_age is None and self._held is None and not self._changed():
            return empty()
        if self._is_fresh(1):
            return self._held
        if self._in_transaction():
            return self._read_for_this_request()
        return self._look_or_wait()

    def forget(self) -> None:
        """Hold nothing; the next request reads all policy anew."""
        with self._lock:
            self._held = None
            self._looked_at = self._failed_at = None
            # What was committed into the new tables is still to be looked for.
            self._committed, self._epoch = committed.count_before_epoch, committed.epoch
            self._without_tables = False

    @contextmanager
    def override(self, snapshot: Snapshot) -> Iterator[Snapshot]:
        """Judge every request of this process by ``snapshot``; for tests."""
        before, self._override = self._override, snapshot
        try:
            yield snapshot
        finally:
            self._override = before

    # -- looking --------------------------------------------------------------

    def _changed(self) -> bool:
        return self._committed != committed.count

    def _is_fresh(self, ages: int) -> bool:
        """Whether the last good look is younger than ``ages`` x POLICY_MAX_AGE."""
        if self._looked_at is None or self._changed():
            return False
        max_age = conf.current().policy_max_age
        return max_age is None or time.monotonic() - self._looked_at < ages * max_age

    def _may_go_on(self) -> bool:
        """Whether the held policy may serve although a look is due."""
        if self._failed_at is None:
            return self._is_fresh(2)
        if self._looking_since is not None:
            # A database that is away may let one look wait for long; it is enough if one does.
            return self._looking_since - self._failed_at < 2 * RETRY_SECONDS
        return time.monotonic() - self._failed_at < RETRY_SECONDS

    def _look_or_wait(self) -> Snapshot | None:
        if not self._lock.acquire(blocking=False):
            if self._may_go_on():
                return self._last_good()
            self._lock.acquire()
        try:
            waited_long_enough = self._is_fresh(1) or (
                self._failed_at is not None and self._may_go_on()
            )
            if not waited_long_enough:
                self._looking_since = time.monotonic()
                self._look()
        finally:
            self._looking_since = None
            self._lock.release()
        return self._last_good()

    def _last_good(self) -> Snapshot | None:
        if self._failed_at is None:
            return self._held
        age = None if self._looked_at is None else time.monotonic() - self._looked_at
        if self._held is None or age is None or age > conf.current().policy_max_staleness:
            raise PolicyUnavailable
        return self._held

    def _look(self) -> None:
        """One look at the state row, and what follows from it. Holds the lock."""
        count, started = committed.count, time.monotonic()
        try:
            snapshot: Snapshot | None = self._following(self._held, load.state())
        except (DatabaseError, load.PolicyMoved) as error:
            if not self._tables_are_missing():
                self._note_failure(error)
                return
            snapshot = None
        if self._failed_at is not None:
            logger.warning("Policy can be read again.")
        self._swap(snapshot)
        # From before the read: what was committed meanwhile is looked for again.
        self._committed, self._looked_at, self._failed_at = count, started, None

    def _swap(self, snapshot: Snapshot | None) -> None:
        if snapshot is None and not self._without_tables:
            logger.error("apiguard's tables do not exist: nothing is guarded. Run migrate.")
        self._without_tables = snapshot is None
        if snapshot is not None and snapshot is not self._held:
            logger.info("Policy revision %s is in force.", snapshot.revision)
            for problem in snapshot.problems:
                logger.error("Policy problem: %s", problem)
        self._held = snapshot

    def _note_failure(self, error: Exception) -> None:
        if self._failed_at is None:
            logger.error("Policy cannot be read (%s); going on with what is held.", error)
        self._failed_at = time.monotonic()

    def _tables_are_missing(self) -> bool:
        """Whether ``migrate`` is still to come; tables that vanish are a failed read."""
        if self._held is not None and self._held.revision > 0:
            return False
        try:
            return not load.was_migrated()
        except DatabaseError:
            return False

    def _following(self, held: Snapshot | None, state: PolicyState) -> Snapshot:
        """The snapshot of ``state``, keeping of ``held`` whatever did not change."""
        if held is None:
            return _compile(*load.rows(state))
        if (held.revision, held.stamp) == (state.revision, state.stamp):
            return held
        if not state.revision:
            raise load.PolicyMoved("its state row is gone; run manage.py apiguard publish")
        changes = state.changes_since(held.revision, held.stamp)
        if changes is not None and all(change.what in ("keys", "clients") for change in changes):
            keyring = _kept(held.keyring, changes)
            return replace(held, revision=state.revision, stamp=state.stamp, keyring=keyring)
        # The revision may have moved on while rows were read: later changes count too.
        after, rows = load.rows(state)
        return replace(
            _compile(after, rows),
            keyring=_kept(held.keyring, after.changes_since(held.revision, held.stamp)),
        )

    # -- inside an open transaction ---------------------------------------------

    def _in_transaction(self) -> bool:
        return connections[write_alias()].in_atomic_block

    def _uncommitted(self, pending: PendingChange) -> Snapshot:
        if pending.held is None:
            try:
                pending.held = _compile(*load.rows(load.state()))
            except (DatabaseError, load.PolicyMoved) as error:
                raise PolicyUnavailable from error
        held: Snapshot = pending.held
        return held

    def _read_for_this_request(self) -> Snapshot | None:
        try:
            # A savepoint: PostgreSQL gives up a transaction in which a query failed.
            with transaction.atomic(using=write_alias()):
                return self._following(self._held, load.state())
        except (DatabaseError, load.PolicyMoved) as error:
            if self._tables_are_missing():
                return None
            raise PolicyUnavailable from error


def _compile(state: PolicyState, rows: Rows) -> Snapshot:
    return compile_rows(rows, revision=state.revision, stamp=state.stamp)


def _kept(keyring: Keyring, changes: list[Change] | None) -> Keyring:
    """The records that these changes (``None``: unknown ones) did not touch."""
    if changes is None or any(change.what == "everything" for change in changes):
        return Keyring()
    return keyring.without(_pks(changes, "keys"), _pks(changes, "clients"))


def _pks(changes: list[Change], what: str) -> set[object] | None:
    named: set[object] = set()
    for change in changes:
        if change.what != what:
            continue
        if change.pks is None:
            return None
        named.update(change.pks)
    return named


current = Current()
# A lock that another thread of the parent held would never be released here.
os.register_at_fork(after_in_child=current._reset)
