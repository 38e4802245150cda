"""Threads that wait for the database, so that requests need not wait for ever.

A database that hangs answers neither a query nor a connection attempt, and no
timeout of every driver covers both. So whoever needs something from it sends
an errand to a few daemon threads and waits as long as it likes. Their
connections are their own, kept while there is work and for a minute at most.

Work is done in the calling thread instead where it must see that thread's
transaction, where the database is a file (SQLite), and where policy is read
only after changes of this process (tests).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import Error as DatabaseError
from django.db import OperationalError, connections

from .. import conf
from . import clock

T = TypeVar("T")
Work = Callable[[], Any]
Done = Callable[[Any, Exception | None], None]

# How long a thread without work keeps its connections, and how long one with work does.
IDLE_SECONDS = 5.0
LIFETIME_SECONDS = 60.0
# A thread that slept with its whole process for an hour has waited for one of these.
SLICE_SECONDS = 0.05


class NoAnswer(OperationalError):
    """The database did not answer in time."""


def wait(event: threading.Event, seconds: float) -> bool:
    """Wait for ``seconds`` in which this process runs; whether the event came to pass."""
    for _ in range(round(seconds / SLICE_SECONDS)):
        if event.wait(SLICE_SECONDS):
            return True
    return event.is_set()


def must_run_inline(alias: str) -> bool:
    """Whether work on this database is done by the thread that asks for it."""
    connection = connections[alias]
    in_transaction = connection.in_atomic_block or (
        connection.connection is not None and not connection.autocommit
    )
    return in_transaction or connection.vendor == "sqlite" or conf.current().policy_max_age is None


def run_inline(work: Work, done: Done) -> None:
    """As ``DatabaseThreads.send``, by the thread that calls."""
    try:
        result, failure = work(), None
    except Exception as error:  # noqa: BLE001 - handed on, as the crew does
        result, failure = None, error
    done(result, failure)


class DatabaseThreads:
    """At most ``most`` threads, started when there is work, gone when there is none.

    Args:
        name: of the threads.
        most: also how many hanging connections a database can cause.
    """

    _all: weakref.WeakSet[DatabaseThreads] = weakref.WeakSet()

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._reset()
        self._all.add(self)

    def _reset(self) -> None:
        self._news = threading.Condition()
        self._waiting: deque[tuple[Work, Done]] = deque()
        self._idle = self._threads = 0

    def send(self, work: Work, done: Done) -> None:
        """Have ``work`` done, then ``done`` called with its result or its exception.

        The exception is ``NoAnswer`` at once where all threads are busy, or none can be had.
        """
        try:
            self._take(work, done)
        except NoAnswer as error:
            done(None, error)

    def _take(self, work: Work, done: Done) -> None:
        with self._news:
            if len(self._waiting) < self._idle:
                self._news.notify()
            elif self._threads < self._most:
                self._start()
            elif len(self._waiting) >= self._most:
                raise NoAnswer("Everybody who could ask the database waits for it.")
            self._waiting.append((work, done))

    def ask(self, work: Callable[[], T], seconds: float) -> T:
        """What ``work`` returns or raises, if that can be told within ``seconds``.

        Raises:
            NoAnswer: it cannot.
        """
        answered, answer = threading.Event(), []

        def done(result: Any, error: Exception | None) -> None:
            answer.append((result, error))
            answered.set()

        self.send(work, done)
        if not wait(answered, seconds):
            raise NoAnswer(f"The database did not answer within {seconds:g} s.")
        result, error = answer[0]
        if error is not None:
            raise error
        found: T = result
        return found

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise NoAnswer(str(error)) from error
        self._threads += 1

    def _next(self) -> tuple[Work, Done] | None:
        with self._news:
            if not self._waiting:
                self._idle += 1
                self._news.wait(IDLE_SECONDS)
                self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None

    def _serve(self) -> None:
        connected_at: float | None = None
        while (errand := self._next()) is not None:
            work, done = errand
            if connected_at is None or clock.seconds() - connected_at >= LIFETIME_SECONDS:
                connections.close_all()
                connected_at = None
            try:
                result, error = _outcome(work, is_new=connected_at is None), None
                connected_at = clock.seconds() if connected_at is None else connected_at
            except Exception as raised:  # noqa: BLE001 - handed to whoever sent the errand
                result, error, connected_at = None, raised, None
            done(result, error)
        connections.close_all()


def _outcome(work: Callable[[], T], *, is_new: bool) -> T:
    """What ``work`` returns; tried once more where only a kept connection may be to blame."""
    if not is_new:
        try:
            return work()
        except DatabaseError:
            connections.close_all()
    return work()


def _after_fork() -> None:
    for crew in DatabaseThreads._all:
        crew._reset()


# Threads do not survive a fork, and a lock that one of them held would stay locked.
os.register_at_fork(after_in_child=_after_fork)
