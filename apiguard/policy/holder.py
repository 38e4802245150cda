"""The policy in force in this process: held, refreshed, swapped whole.

A request calls ``snapshot()`` once. The state row is read at most once per
``POLICY_MAX_AGE`` and after every change that this process has committed; that
costs one query, a reload a dozen. Promises:

- One refresh at a time. Requests go on with the held snapshot only while the
  last good refresh is younger than twice ``POLICY_MAX_AGE``; else they wait, so
  that an idle worker never answers by an hour-old policy.
- Nobody waits long for a database that hangs: it is not a request's thread that
  reads (see ``db_threads``). A failed read keeps the held snapshot, for
  ``POLICY_MAX_STALENESS`` at most; while reads fail, refreshes are farther and
  farther apart.
- What is read inside an open transaction serves that transaction alone.
- Before apiguard's tables are made there is no policy: ``None``. Tables that
  vanish later are a failed read.

``refresh`` decides when to read; here is what waits, reads and swaps.
"""

from __future__ import annotations

import itertools
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
from django.db.backends.base.base import BaseDatabaseWrapper

from .. import conf, test_run
from ..concurrency import Busy, wait
from ..models.state import PendingChange, committed, write_alias
from . import build, clock, load, refresh
from .build import Reading
from .db_threads import DatabaseThreads, NoAnswer, must_run_inline, run_inline
from .refresh import ANSWER_SECONDS, RELOAD_SECONDS, Attempt, Moment
from .snapshot import Snapshot, empty
from .status import PolicyStatus, redacted

logger = logging.getLogger("apiguard.policy")

# Refreshes that one request may wait for: one that began before the change that it
# must see, or before the machine slept, is not good enough.
MAX_REFRESHES = 3
# A request that begins a refresh it need not wait for waits so long: mostly that is enough.
GRACE_SECONDS = 0.05
# Keys in use that a reload reads again; more of them are looked up when they are needed.
MAX_REREAD = 1_000
# More refreshes than this never hang at once.
threads = DatabaseThreads("apiguard-policy", most=8, max_queue=8)


class PolicyUnavailable(Exception):
    """There is no policy to judge by: it could not be read, or it is too old."""


class PolicyHolder:
    """Holds the newest snapshot of this process."""

    def __init__(self) -> None:
        # Called with whether a refresh begins or ends; must neither wait nor raise.
        self.on_refresh: Callable[[bool], None] = lambda is_begun: None
        # Called while tests run, with the first request of each.
        self.on_new_test: Callable[[], None] = lambda: None
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._held: Snapshot | None = None
        self._override: Snapshot | None = None
        self._state: refresh.State = refresh.Fresh()
        self._numbers = itertools.count()
        # How many changes this process had committed before it first needed any policy.
        self._changes_before = committed.count
        # Set when the newest attempt has ended, well or not.
        self._ended = threading.Event()
        self._epoch = committed.epoch
        self._status = PolicyStatus()
        self._test: str | None = None

    # -- for requests -------------------------------------------------------

    def ready(self) -> Snapshot | None:
        """Return the held snapshot if it may be used without any I/O, else ``None``."""
        if self._override is not None:
            return self._override
        held = self._held
        if held is None or PendingChange.alive or self._epoch != committed.epoch:
            return None
        state, bounds, now = self._state, conf.current(), _now()
        if bounds.testing:
            return None  # Whether this test may use the database is to be seen.
        is_good = refresh.is_fresh(state, bounds, now) or refresh.needs_nobody(state, bounds, now)
        return held if is_good else None

    def snapshot(self) -> Snapshot | None:
        """Return the policy to judge one request by; ``None`` before ``migrate``.

        Raises:
            PolicyUnavailable: nobody knows what is guarded.
        """
        if self._override is not None:
            return self._override
        if conf.current().testing:
            return self._snapshot_while_testing()
        if self._epoch != committed.epoch:
            self.forget()
        pending = PendingChange.newest(write_alias())
        if pending is not None:
            return _uncommitted(pending, self._held)
        state, bounds, now = self._state, conf.current(), _now()
        if bounds.policy_max_age is None and self._held is None and not self._has_changed():
            return empty()
        if refresh.is_fresh(state, bounds, now):
            return self._last_good()
        if connections[write_alias()].in_atomic_block:
            return self._read_for_this_request()
        self._refresh()
        return self._last_good()

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether other requests are judged by this snapshot, too."""
        return snapshot is self._held

    def status(self) -> PolicyStatus:
        """Return the status of the policy in force in this process; no query."""
        return self._status

    @property
    def cut_off(self) -> bool:
        """Whether the database is known to be away, so that no other query is worth a try."""
        failing = refresh.failure(self._state)
        return failing is not None and failing.is_certain(_now())

    def forget(self) -> None:
        """Hold nothing; the next request reads all policy anew."""
        with self._lock:
            self._held, self._state = None, refresh.Fresh()
            # What was committed into the new tables is still to be read.
            self._changes_before, self._epoch = committed.count_before_epoch, committed.epoch
            self._status = PolicyStatus()

    @contextmanager
    def override(self, snapshot: Snapshot) -> Iterator[Snapshot]:
        """Judge every request of this process by ``snapshot``; for tests."""
        before, self._override = self._override, snapshot
        try:
            yield snapshot
        finally:
            self._override = before

    # -- refreshing -----------------------------------------------------------

    def _has_changed(self) -> bool:
        read = refresh.last_read(self._state).read
        return committed.count != (self._changes_before if read is None else read.changes)

    def _last_good(self) -> Snapshot | None:
        # Before what is held, which is swapped first: in between, nobody passes unguarded.
        state = self._state
        held, is_failing = self._held, refresh.failure(state) is not None
        if held is None and (
            is_failing or not isinstance(refresh.last_read(state), refresh.NoTables)
        ):
            raise PolicyUnavailable
        if refresh.is_too_stale(state, conf.current(), _now()):
            raise PolicyUnavailable
        return held

    def _refresh(self) -> None:
        """Wait for a refresh for as long as the held policy may not go on without it."""
        for _ in range(MAX_REFRESHES):
            attempt, ended, is_mine = self._join()
            if attempt is None:
                return
            needed, bounds = _now(), conf.current()
            state = self._state
            goes_on = refresh.may_go_on(state, bounds, needed)
            if is_mine:
                self._begin(attempt, ended)
            if goes_on:
                grace = is_mine and refresh.failure(state) is None
                self._wait(attempt, ended, GRACE_SECONDS if grace else 0)
                return
            if not self._wait(attempt, ended, ANSWER_SECONDS):
                error = NoAnswer(f"No answer within {ANSWER_SECONDS:g} s.")
                self._note_failure(attempt, refresh.TimedOut(attempt.number), error)
                return
            if refresh.failure(self._state) or refresh.has_seen(attempt, needed, bounds, _now()):
                return

    def _join(self) -> tuple[Attempt | None, threading.Event, bool]:
        """Return the attempt under way, or a new one and true; ``None`` while it is too early."""
        with self._lock:
            before = self._state
            needed = refresh.Needed(next(self._numbers), conf.current())
            self._state = refresh.step(before, needed, _now())
            attempt = refresh.current_attempt(self._state)
            is_mine = attempt is not None and attempt.number == needed.number
            if is_mine:
                self._ended = threading.Event()
            if isinstance(self._state, refresh.Failing) and self._state is not before:
                self._report_failure(before, NoAnswer("No answer yet."))
            return attempt, self._ended, is_mine

    def _begin(self, attempt: Attempt, ended: threading.Event) -> None:
        self.on_refresh(True)
        read, finish = partial(self._read, attempt), partial(self._finish, attempt, ended)
        if must_run_inline(write_alias()):
            run_inline(read, finish)
            return
        try:
            threads.submit(read, finish)
        except Busy:
            finish(None, NoAnswer("All threads that read policy wait for the database."))

    def _wait(self, attempt: Attempt, ended: threading.Event, seconds: float) -> bool:
        """Wait for the answer, and for a reload if one follows; whether the attempt has ended."""
        if seconds and not wait(ended, seconds):
            current = refresh.current_attempt(self._state)
            if self._is_current(attempt) and current is not None and current.is_answered:
                wait(ended, RELOAD_SECONDS if seconds >= ANSWER_SECONDS else 0)
        return ended.is_set()

    def _read(self, attempt: Attempt) -> Reading:
        """Read the state row, and what follows from it."""
        held = self._held
        try:
            state = load.state()
            with self._lock:
                self._state = refresh.step(self._state, refresh.Answered(attempt.number), _now())
            read = build.incremental(held, state)
            _reread_keys(held, read.snapshot)
            return read
        except (DatabaseError, load.PolicyMoved):
            if not build.tables_are_missing(held):
                raise
            return Reading(None)

    def _finish(
        self,
        attempt: Attempt,
        ended: threading.Event,
        read: Reading | None,
        error: Exception | None,
    ) -> None:
        if read is None:
            self._note_failure(attempt, refresh.Failed(attempt.number), error or NoAnswer())
        else:
            self._swap(attempt, read)
        ended.set()

    def _is_current(self, attempt: Attempt) -> bool:
        current = refresh.current_attempt(self._state)
        return current is not None and current.number == attempt.number

    def _note_failure(
        self, attempt: Attempt, event: refresh.Failed | refresh.TimedOut, error: Exception
    ) -> None:
        with self._lock:
            # An attempt that was superseded says nothing any more.
            if not self._is_current(attempt):
                return
            before = self._state
            self._state = refresh.step(before, event, _now())
            self._report_failure(before, error)
            if isinstance(event, refresh.Failed):
                self.on_refresh(False)

    def _report_failure(self, before: refresh.State, error: Exception) -> None:
        if refresh.failure(before) is None:
            logger.error("Policy cannot be read (%s); going on with what is held.", redacted(error))
        if not isinstance(error, DatabaseError | load.PolicyMoved):
            logger.error("This should not happen.", exc_info=error)
        since = self._status.failed_since or time.time()
        self._status = replace(self._status, failed_since=since, error=redacted(error))

    def _swap(self, attempt: Attempt, read: Reading) -> None:
        snapshot = read.snapshot
        with self._lock:
            # It would swap back what another attempt has found since.
            if not self._is_current(attempt):
                return
            before, had = self._state, self._held
            if refresh.failure(before) is not None:
                logger.warning("Policy can be read again.")
            if snapshot is None and not isinstance(refresh.last_read(before), refresh.NoTables):
                logger.error("apiguard's tables do not exist: nothing is guarded. Run migrate.")
            if snapshot is not None and snapshot is not had:
                logger.info("Policy revision %s is in force.", snapshot.revision)
                for problem in snapshot.problems:
                    logger.error("Policy problem: %s", problem)
            age = clock.seconds() - attempt.begun.at
            self._status = self._status.seen(snapshot, time.time() - age, read.published_at)
            self._held = snapshot
            ended = refresh.Succeeded(attempt.number, has_tables=snapshot is not None)
            self._state = refresh.step(before, ended, _now())
            self.on_refresh(False)

    # -- inside an open transaction ---------------------------------------------

    def _read_for_this_request(self) -> Snapshot | None:
        try:
            # A savepoint: PostgreSQL gives up a transaction in which a query failed.
            with transaction.atomic(using=write_alias()):
                return build.incremental(self._held, load.state()).snapshot
        except (DatabaseError, load.PolicyMoved) as error:
            if build.tables_are_missing(self._held):
                return None
            raise PolicyUnavailable from error

    # -- while tests run ----------------------------------------------------------

    def _snapshot_while_testing(self) -> Snapshot | None:
        connection = connections[write_alias()]
        try:
            with test_run.unrecorded(connection):
                with connection.cursor():
                    pass  # Raises in a test that may not use the database; no query.
                return self._read_while_testing(connection)
        except Exception as error:  # noqa: BLE001 - each runner forbids it in its own way
            # For this request alone: the next test may use the database.
            logger.debug("A test without a database has no policy: %s.", type(error).__name__)
            return empty()

    def _read_while_testing(self, connection: BaseDatabaseWrapper) -> Snapshot | None:
        """Return what the open transaction wrote, else what is committed, read once a test."""
        test = test_run.current_test(connection)
        is_new = test is None or test != self._test
        if test != self._test or self._epoch != committed.epoch:
            self.on_new_test()
        self._test = test
        if self._epoch != committed.epoch:
            self.forget()
        pending = PendingChange.newest(connection.alias)
        if pending is not None:
            return _uncommitted(pending, self._held)
        begun = _now()
        if is_new or not refresh.is_fresh(self._state, conf.current(), begun):
            held = self._read_for_this_request()
            with self._lock:
                self._held = held
                self._state = refresh.NoTables(begun) if held is None else refresh.Fresh(begun)
                self._status = self._status.seen(held, time.time(), None)
        return self._held


def _reread_keys(held: Snapshot | None, successor: Snapshot | None) -> None:
    """Read again the keys that a successor does not take over, because they are in use.

    Else an edit would make each of them unknown, and a good key behind an address with
    too many failed ones would have to wait for its turn.
    """
    if held is None or successor is None or held.keyring is successor.keyring:
        return
    lost = held.keyring.ids_missing_from(successor.keyring)
    for record in load.keys(lost[-MAX_REREAD:]):
        successor.keyring.put(record.key_id, record)


def _now() -> Moment:
    return Moment(clock.seconds(), committed.count)


def _uncommitted(pending: PendingChange, committed_policy: Snapshot | None) -> Snapshot:
    if pending.held is None:
        try:
            pending.held = build.incremental(committed_policy, load.state()).snapshot
        except (DatabaseError, load.PolicyMoved) as error:
            raise PolicyUnavailable from error
    held: Snapshot = pending.held
    return held


holder = PolicyHolder()
# A lock that another thread of the parent held would never be released here.
os.register_at_fork(after_in_child=holder._reset)
