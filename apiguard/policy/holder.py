"""The policy in force in this process: held, looked at, swapped whole.

``snapshot()`` is what a request asks for, once. It looks at the state row at
most once per ``POLICY_MAX_AGE`` and after every change that this process has
committed; a look costs one query, a reload a dozen. Promises:

- One look at a time. Requests go on with the held snapshot only while its
  last good look is younger than twice ``POLICY_MAX_AGE``; else they wait, so
  that an idle worker never answers by an hour-old policy.
- Nobody waits long for a database that hangs: who looks is not a request (see
  ``crew``). A failed read keeps the held snapshot, for ``POLICY_MAX_STALENESS``
  at most; while reads fail, looks are farther and farther apart.
- What is read inside an open transaction serves that transaction alone.
- Before apiguard's tables are made there is no policy: ``None``. Tables that
  vanish later are a failed read.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from django.db import Error as DatabaseError
from django.db import connections, transaction

from .. import conf
from ..models.state import PendingChange, committed, write_alias
from . import clock, load, reading
from .backoff import Backoff
from .db_threads import DatabaseThreads, NoAnswer, must_run_inline, run_inline
from .look import ANSWER_SECONDS, GRACE_SECONDS, Look
from .reading import Reading
from .snapshot import Snapshot, empty
from .status import PolicyStatus, redacted

logger = logging.getLogger("apiguard.policy")

# Looks that one request may wait for: one that began before the change that it
# must see, or before the machine slept, is not good enough.
LOOKS = 3
# More looks than this never hang at once.
crew = DatabaseThreads("apiguard-policy", most=8)


class PolicyUnavailable(Exception):
    """There is no policy to judge by: it could not be read, or it is too old."""


class PolicyHolder:
    """Holds the newest snapshot of this process."""

    def __init__(self) -> None:
        # Told true when a look begins and false when it ends; must neither wait nor raise.
        self.on_refresh: Callable[[bool], None] = lambda is_begun: None
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._held: Snapshot | None = None
        self._override: Snapshot | None = None
        self._look: Look | None = None
        # When the last good look began, by our clock; None: never.
        self._looked_at: float | None = None
        self._backoff = Backoff()
        self._committed = committed.count
        self._committed_when_failed = -1
        self._epoch = committed.epoch
        self._without_tables = False
        self._status = PolicyStatus()

    # -- what requests ask --------------------------------------------------

    def ready(self) -> Snapshot | None:
        """The held snapshot if it may be used without any I/O, else ``None``."""
        if self._override is not None:
            return self._override
        held = self._held
        if held is None or PendingChange.alive or self._epoch != committed.epoch:
            return None
        return held if self._is_fresh(1) or self._others_care() else None

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
            return _uncommitted(pending)
        if conf.current().policy_max_age is None and self._held is None and not self._changed():
            return empty()
        if self._is_fresh(1):
            return self._last_good()
        if connections[write_alias()].in_atomic_block:
            return self._read_for_this_request()
        self._have_looked()
        return self._last_good()

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether this is what other requests are judged by, too."""
        return snapshot is self._held

    def status(self) -> PolicyStatus:
        """How the policy in force stands in this process; no query."""
        return self._status

    @property
    def cut_off(self) -> bool:
        """Whether the database is known to be away: it need not be asked for anything else."""
        return self._backoff.is_known()

    def forget(self) -> None:
        """Hold nothing; the next request reads all policy anew."""
        with self._lock:
            self._looked_at = self._look = self._held = None
            self._backoff.succeeded()
            # What was committed into the new tables is still to be looked for.
            self._committed, self._epoch = committed.count_before_epoch, committed.epoch
            self._without_tables = False
            self._status = PolicyStatus()

    @contextmanager
    def override(self, snapshot: Snapshot) -> Iterator[Snapshot]:
        """Judge every request of this process by ``snapshot``; for tests."""
        before, self._override = self._override, snapshot
        try:
            yield snapshot
        finally:
            self._override = before

    # -- may what is held serve? ----------------------------------------------

    def _changed(self) -> bool:
        return self._committed != committed.count

    def _is_fresh(self, ages: int) -> bool:
        """Whether the last good look is younger than ``ages`` x POLICY_MAX_AGE."""
        if self._looked_at is None or self._changed():
            return False
        max_age = conf.current().policy_max_age
        return max_age is None or clock.seconds() - self._looked_at < ages * max_age

    def _may_go_on(self) -> bool:
        """Whether the held policy may serve although a look is due."""
        if not self._backoff.failing:
            return self._is_fresh(2)
        # What this process has committed since, it must see: the database is back.
        return self._backoff.is_known() and self._committed_when_failed == committed.count

    def _others_care(self) -> bool:
        """Whether the held policy may serve, and this request need not begin a look."""
        cared = not self._backoff.is_over() if self._backoff.failing else self._look is not None
        return cared and self._may_go_on() and not self._is_too_stale()

    def _is_too_stale(self) -> bool:
        if not self._backoff.failing:
            return False
        limit = conf.current().policy_max_staleness
        return self._looked_at is None or clock.seconds() - self._looked_at > limit

    def _last_good(self) -> Snapshot | None:
        held = self._held
        # After ``held``, which is swapped last: in between, nobody passes unguarded.
        nothing = held is None and not self._without_tables
        if nothing or (self._backoff.failing and (held is None or self._is_too_stale())):
            raise PolicyUnavailable
        return held

    # -- looking --------------------------------------------------------------

    def _have_looked(self) -> None:
        """Wait for a look for as long as the held policy may not go on without it."""
        for _ in range(LOOKS):
            look, is_mine = self._next_look()
            if look is None:
                return
            goes_on, began = self._may_go_on(), committed.count
            if is_mine:
                self._send(look)
            if goes_on:
                look.wait(GRACE_SECONDS if is_mine and not self._backoff.failing else 0)
                return
            if not look.wait(ANSWER_SECONDS):
                self._give_up(look, NoAnswer(f"No answer within {ANSWER_SECONDS:g} s."))
                return
            if self._backoff.failing or look.is_good_for(began):
                return

    def _next_look(self) -> tuple[Look | None, bool]:
        """The look that is under way, or a new one and true; none while it is too early."""
        with self._lock:
            look = self._look
            if look is not None:
                if look.hangs and self._backoff.is_known() and not look.given_up:
                    self._note_failure(look, NoAnswer("No answer yet."))
                if not (look.given_up and look.hangs and self._backoff.is_over()):
                    return look, False
            elif self._is_fresh(1):
                return None, False  # Somebody else was faster.
            known = self._committed_when_failed == committed.count
            if self._backoff.failing and known and not self._backoff.is_over():
                return None, False
            self._look = Look(committed.count)
            return self._look, True

    def _send(self, look: Look) -> None:
        self.on_refresh(True)
        send = run_inline if must_run_inline(write_alias()) else crew.send
        send(partial(self._read, look), partial(self._finish, look))

    def _read(self, look: Look) -> Reading:
        """One look at the state row, and what follows from it."""
        held = self._held
        try:
            state = load.state()
            look.is_answered = True
            return reading.following(held, state)
        except (DatabaseError, load.PolicyMoved):
            if not reading.tables_are_missing(held):
                raise
            return Reading(None)

    def _finish(self, look: Look, read: Reading | None, error: Exception | None) -> None:
        with self._lock:
            # A look that was given up, and another begun since, would swap back.
            if self._look is look:
                if read is None:
                    self._note_failure(look, error or NoAnswer())
                else:
                    self._swap(look, read)
                self._look = None
                self.on_refresh(False)
        look.done.set()

    def _give_up(self, look: Look, error: Exception) -> None:
        with self._lock:
            if self._look is look and not look.given_up:
                self._note_failure(look, error)

    def _note_failure(self, look: Look, error: Exception) -> None:
        look.given_up = True
        if not self._backoff.failing:
            logger.error("Policy cannot be read (%s); going on with what is held.", redacted(error))
        if not isinstance(error, DatabaseError | load.PolicyMoved):
            logger.error("This should not happen.", exc_info=error)
        self._committed_when_failed = look.count
        self._backoff.failed()
        since = self._status.failed_since or time.time()
        self._status = replace(self._status, failed_since=since, error=redacted(error))

    def _swap(self, look: Look, read: Reading) -> None:
        snapshot, before = read.snapshot, self._held
        if self._backoff.failing:
            logger.warning("Policy can be read again.")
        if snapshot is None and not self._without_tables:
            logger.error("apiguard's tables do not exist: nothing is guarded. Run migrate.")
        self._without_tables = snapshot is None
        if snapshot is not None and snapshot is not before:
            logger.info("Policy revision %s is in force.", snapshot.revision)
            for problem in snapshot.problems:
                logger.error("Policy problem: %s", problem)
        self._held = snapshot
        self._status = self._status.seen(snapshot, look.refreshed_at, read.published_at)
        # From before the read: what was committed meanwhile is looked for again.
        self._committed, self._looked_at = look.count, look.begun
        self._backoff.succeeded()

    # -- inside an open transaction ---------------------------------------------

    def _read_for_this_request(self) -> Snapshot | None:
        try:
            # A savepoint: PostgreSQL gives up a transaction in which a query failed.
            with transaction.atomic(using=write_alias()):
                return reading.following(self._held, load.state()).snapshot
        except (DatabaseError, load.PolicyMoved) as error:
            if reading.tables_are_missing(self._held):
                return None
            raise PolicyUnavailable from error


def _uncommitted(pending: PendingChange) -> Snapshot:
    if pending.held is None:
        try:
            pending.held = reading.anew().snapshot
        except (DatabaseError, load.PolicyMoved) as error:
            raise PolicyUnavailable from error
    held: Snapshot = pending.held
    return held


holder = PolicyHolder()
# A lock that another thread of the parent held would never be released here.
os.register_at_fork(after_in_child=holder._reset)
