"""Threads that wait with a bound, single flight, and a circuit breaker.

All of it is thread-safe, and works on in a forked child: what the threads of
the parent held or had under way does not exist there.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Work = Callable[[], Any]
Done = Callable[[Any, Exception | None], None]

# How long a thread without work stays.
IDLE_SECONDS = 5.0
# A thread that slept with its whole process for an hour has waited for one of these.
SLICE_SECONDS = 0.05

# Failures in a row after which a circuit opens.
FAILURES = 3
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0


class Busy(Exception):
    """Nobody began the work: all threads were busy for too long, or none could be started."""


class TimedOut(Exception):
    """The work began, and did not end in time."""


def wait(event: threading.Event, seconds: float) -> bool:
    """Wait for ``seconds`` in which this process runs; return whether the event is set."""
    slices = int(seconds / SLICE_SECONDS)
    if event.wait(max(0.0, seconds - slices * SLICE_SECONDS)):
        return True
    return any(event.wait(SLICE_SECONDS) for _ in range(slices))


def next_pause(pause: float) -> float:
    """Return how long to leave alone what failed once more after a pause (0: the first time)."""
    return min(2 * pause, LONGEST_PAUSE) if pause else FIRST_PAUSE


class _Job:
    """Work for a thread, and what came of it."""

    __slots__ = ("done", "is_begun", "work")

    def __init__(self, work: Work, done: Done) -> None:
        self.work, self.done, self.is_begun = work, done, False


class DaemonThreads:
    """At most ``most`` daemon threads, started when there is work, gone when there is none.

    Args:
        name: of the threads.
        most: also how many calls that hang can pile up.
        max_queue: how much work may wait for a thread.
    """

    def __init__(self, name: str, most: int, max_queue: int) -> None:
        self._name, self._most, self._max_queue = name, most, max_queue
        self.forget()
        reset_after_fork(self, DaemonThreads.forget)

    def forget(self) -> None:
        """Start over without threads and without work."""
        self._changed = threading.Condition()
        self._queue: deque[_Job] = deque()
        self._idle = self._threads = 0

    def submit(self, work: Work, done: Done) -> None:
        """Have ``work`` done, then ``done`` called with its result or its exception.

        Raises:
            Busy: too much work waits already, or no thread can be started.
        """
        self._add(_Job(work, done))

    def call(self, work: Callable[[], T], seconds: float) -> T:
        """Return what ``work`` returns, or raise what it raises, within ``seconds``.

        Raises:
            Busy: no thread began it in time.
            TimedOut: it did not end in time; it goes on.
        """
        flight: Flight[T] = Flight()
        job = _Job(work, flight.finish)
        self._add(job)
        if not wait(flight.done, seconds):
            if self._withdraw(job):
                raise Busy
            if not flight.done.is_set():
                raise TimedOut
        return flight.outcome()

    def run(self, work: Work) -> Any:
        """Do ``work`` in one of the threads; for subclasses to add to."""
        return work()

    def end(self) -> None:
        """Called in a thread that ends."""

    def _add(self, job: _Job) -> None:
        with self._changed:
            if len(self._queue) < self._idle:
                self._changed.notify()
            elif self._threads < self._most:
                self._start()
            elif len(self._queue) >= self._max_queue:
                raise Busy
            self._queue.append(job)

    def _withdraw(self, job: _Job) -> bool:
        """Take back work that no thread has begun; False where one has, and goes on."""
        with self._changed:
            if job in self._queue:
                self._queue.remove(job)
            return not job.is_begun

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise Busy from error
        self._threads += 1

    def _next(self) -> _Job | None:
        with self._changed:
            if not self._queue:
                self._idle += 1
                self._changed.wait(IDLE_SECONDS)
                self._idle -= 1
            if self._queue:
                job = self._queue.popleft()
                job.is_begun = True
                return job
            self._threads -= 1
            return None

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            try:
                result, error = self.run(job.work), None
            except Exception as raised:  # noqa: BLE001 - handed to the submitter
                result, error = None, raised
            job.done(result, error)
        self.end()


class Flight(Generic[T]):
    """Work under way whose outcome several threads may wait for."""

    __slots__ = ("_error", "_result", "done")

    def __init__(self) -> None:
        self.done = threading.Event()
        self._result: T | None = None
        self._error: Exception | None = None

    def finish(self, result: T | None, error: Exception | None) -> None:
        """Set the outcome and let go everybody who waits."""
        self._result, self._error = result, error
        self.done.set()

    def outcome(self) -> T:
        """Return the result, or raise the error, of a flight that is done."""
        if self._error is not None:
            raise self._error
        return cast(T, self._result)


class SingleFlight(Generic[K, T]):
    """One flight per key: who needs what is under way already waits for that."""

    def __init__(self) -> None:
        self.forget()
        reset_after_fork(self, SingleFlight.forget)

    def forget(self) -> None:
        """Start over; those who wait for a flight still get its outcome."""
        self._lock = threading.Lock()
        self._flights: dict[K, Flight[T]] = {}

    def get(self, key: K) -> Flight[T] | None:
        """Return the flight that is under way, if any."""
        return self._flights.get(key)

    def join(self, key: K) -> tuple[Flight[T], bool]:
        """Return the flight of this key, and whether it is new: then the caller must start it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight()
            return flight, True

    def finish(
        self, key: K, flight: Flight[T], result: T | None, error: Exception | None = None
    ) -> None:
        """Set the outcome of a flight; the next one to join begins another."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
        flight.finish(result, error)


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """A stretch of time in which a breaker does not change its mind; compared by identity.

    ``probe_at`` is when the next probe may start, None while the circuit is
    closed; ``pause`` is what was waited for it, in seconds.
    """

    probe_at: float | None = None
    pause: float = 0.0


class CircuitBreaker:
    """Bounds how often callers wait for something that does not answer.

    After ``failures`` failures in a row the circuit opens: calls are not
    allowed. After a pause one caller probes, alone. A probe that fails doubles
    the pause, up to ``LONGEST_PAUSE``; one that succeeds closes the circuit. So
    only calls in flight when the circuit opens, and single probes, are slowed.

    A report counts only in the phase in which its call was allowed: a call from
    before the circuit opened, which ends late, neither closes it nor passes for
    the probe. A probe without a report for ``LONGEST_PAUSE`` (its thread died, or
    this process was forked meanwhile) is given up, and another is made.

    No lock is taken while all is well, nor while the circuit is open.

    Args:
        on_change: called once per change, in order, with whether the circuit is
            open now. It runs under the lock: it must be quick and must not raise.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        on_change: Callable[[bool], None] = lambda away: None,
        clock: Callable[[], float] = time.monotonic,
        failures: int = FAILURES,
    ) -> None:
        self._on_change = on_change
        self._clock = clock
        self._limit = failures
        self._phase = Phase()
        self._failures = 0
        self._renew_lock()
        reset_after_fork(self, CircuitBreaker._renew_lock)

    def _renew_lock(self) -> None:
        # Reentrant: on_change may read the breaker, or call through it.
        self._lock = threading.RLock()

    @property
    def away(self) -> bool:
        """Whether the circuit is open."""
        return self._phase.probe_at is not None

    def allowed(self) -> Phase | None:
        """Return the phase in which a call is allowed now, to report back with; else None."""
        phase = self._phase
        if phase.probe_at is None:
            return phase
        now = self._clock()
        if now < phase.probe_at:
            return None
        with self._lock:
            # Another thread was faster.
            if self._phase is not phase:
                return None
            self._phase = Phase(now + LONGEST_PAUSE, phase.pause)
            return self._phase

    def succeeded(self, phase: Phase) -> bool:
        """Report that a call of ``phase`` succeeded; return whether that closed the circuit."""
        if phase.probe_at is None and not self._failures:
            return False
        with self._lock:
            if self._phase is not phase:
                return False
            self._failures = 0
            if phase.probe_at is None:
                return False
            self._phase = Phase()
            self._on_change(False)
            return True

    def failed(self, phase: Phase) -> bool:
        """Report that a call of ``phase`` failed; return whether that opened the circuit."""
        with self._lock:
            if self._phase is not phase:
                return False
            if phase.probe_at is not None:
                self._pause(next_pause(phase.pause))
                return False
            self._failures += 1
            if self._failures < self._limit:
                return False
            self._failures = 0
            self._pause(FIRST_PAUSE)
            self._on_change(True)
            return True

    def learnt_nothing(self, phase: Phase) -> None:
        """Report that a call of ``phase`` says nothing; another probe may follow after a pause."""
        if phase.probe_at is not None:
            self.failed(phase)

    def close(self) -> None:
        """Forget all failures."""
        with self._lock:
            self._phase, self._failures = Phase(), 0

    def _pause(self, seconds: float) -> None:
        self._phase = Phase(self._clock() + seconds, seconds)


# What a forked child starts over: a lock that another thread of its parent held would
# stay locked, and threads do not survive a fork.
_to_reset: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()


def reset_after_fork(thing: T, reset: Callable[[T], None]) -> None:
    """Have ``reset(thing)`` called in every child of a fork, while the thing lives."""
    _to_reset[thing] = reset


def _after_fork() -> None:
    for thing, reset in list(_to_reset.items()):
        reset(thing)


os.register_at_fork(after_in_child=_after_fork)
