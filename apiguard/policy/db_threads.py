"""Threads that wait for the database, so that requests need not wait without a bound.

A database that hangs answers neither a query nor a connection attempt, and no
timeout of every driver covers both. So a query for a request is run by one of a
few daemon threads, while the request waits as long as it likes. The threads keep
connections of their own while there is work, and for a minute at most; one that
belongs to a pool goes back after every query, because a pool may hold just one.

A query is run by the calling thread instead where it must see that thread's
transaction, where that thread holds a connection of a pool already, where the
database is a file (SQLite), and where policy is read only after changes of this
process (tests).
"""

from __future__ import annotations

import threading
from typing import Any

from django.db import Error as DatabaseError
from django.db import OperationalError, connections

from .. import conf
from ..concurrency import DaemonThreads, Done, Work
from . import clock

# How long a thread with work keeps its connections.
LIFETIME_SECONDS = 60.0


class NoAnswer(OperationalError):
    """The database did not answer in time."""


def must_run_inline(alias: str) -> bool:
    """Whether a query to this database is run by the thread that needs it."""
    connection = connections[alias]
    is_open = connection.connection is not None
    in_transaction = connection.in_atomic_block or (is_open and not connection.autocommit)
    return (
        in_transaction
        or connection.vendor == "sqlite"
        or conf.current().policy_max_age is None
        or (is_open and _is_pooled(connection))
    )


def run_inline(work: Work, done: Done) -> None:
    """Do as ``DatabaseThreads.submit`` does, in the calling thread."""
    try:
        result, failure = work(), None
    except Exception as error:  # noqa: BLE001 - handed on, as the threads do
        result, failure = None, error
    done(result, failure)


class DatabaseThreads(DaemonThreads):
    """Daemon threads with database connections of their own."""

    def __init__(self, name: str, most: int, max_queue: int) -> None:
        super().__init__(name, most, max_queue)
        self._own = threading.local()

    def run(self, work: Work) -> Any:
        """Run a query; once more where only a connection that was kept may be to blame."""
        connected_at: float | None = getattr(self._own, "connected_at", None)
        if connected_at is None or clock.seconds() - connected_at >= LIFETIME_SECONDS:
            connections.close_all()
            connected_at = None
        self._own.connected_at = None
        try:
            result = _retry(work, is_new=connected_at is None)
        finally:
            _give_back()
        self._own.connected_at = clock.seconds() if connected_at is None else connected_at
        return result

    def end(self) -> None:
        """Close the connections of a thread that ends."""
        connections.close_all()


def _retry(work: Work, *, is_new: bool) -> Any:
    if not is_new:
        try:
            return work()
        except DatabaseError:
            connections.close_all()
    return work()


def _give_back() -> None:
    """Return connections that belong to a pool, before anything else is waited for."""
    for connection in connections.all(initialized_only=True):
        if _is_pooled(connection):
            connection.close()


def _is_pooled(connection: Any) -> bool:
    settings: dict[str, Any] = connection.settings_dict
    # The second is that of django-db-connection-pool.
    return bool(settings.get("OPTIONS", {}).get("pool")) or "POOL_OPTIONS" in settings
