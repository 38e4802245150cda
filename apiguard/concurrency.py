"""Threads that wait with a bound, and single flight.

All of it is thread-safe, and works on in a forked child: what the threads of
the parent held or had under way does not exist there.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar, cast

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Work = Callable[[], Any]
Done = Callable[[Any, Exception | None], None]

# How long a thread without work stays.
IDLE_SECONDS = 5.0
# A thread that slept with its whole process for an hour has waited for one of these.
SLICE_SECONDS = 0.05


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
