"""Waiting for a connection of a pool that has no more than ``max_connections``.

redis-py's pool raises at once when all its connections are in use, although one
comes back in less than a millisecond. Here threads wait for one, in the order in
which they came.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError

SLICES = 10


class SlotTimeout(Exception):
    """No slot became free in time."""


class ConnectionSlots:
    """As many slots as a pool has connections; a free slot goes to who waits longest.

    ``threading.Semaphore`` lets a running thread overtake those that wait, so that
    under load some would wait until they time out.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._lock = threading.Lock()
        self._queue: deque[threading.Lock] = deque()

    @contextmanager
    def hold(self, timeout: float) -> Iterator[None]:
        """Hold a slot during the block; wait for it at most ``timeout`` seconds.

        Raises:
            SlotTimeout: no slot became free in time.
        """
        if not self._acquire(timeout):
            raise SlotTimeout
        try:
            yield
        finally:
            self._release()

    def _acquire(self, timeout: float) -> bool:
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._queue.append(turn)
        try:
            # In slices: while a busy machine does not let this process run, no slot can
            # become free, and all of that time passes in one slice.
            if any(turn.acquire(timeout=timeout / SLICES) for _ in range(SLICES)):
                return True
        except BaseException:
            # Such as a timeout of gevent: the slot belongs to nobody then.
            if not self._withdraw(turn):
                self._release()
            raise
        return not self._withdraw(turn)  # It may have been handed over while the time ran out.

    def _withdraw(self, turn: threading.Lock) -> bool:
        """Leave the queue; False if the turn has come already."""
        with self._lock:
            if turn not in self._queue:
                return False
            self._queue.remove(turn)
            return True

    def _release(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1


def is_exhausted(error: BaseException) -> bool:
    """Whether a client raised this because its pool had no connection to give.

    Releases before redis-py 6.3 and ``BlockingConnectionPool`` raise a plain
    ``ConnectionError``, which else means that the server cannot be reached.
    """
    if isinstance(error, MaxConnectionsError) or has_waited(error):
        return True
    return type(error) is RedisConnectionError and str(error) == "Too many connections"


def has_waited(error: BaseException) -> bool:
    """Whether a ``BlockingConnectionPool`` raised this, after the time that it waits itself."""
    return type(error) is RedisConnectionError and isinstance(error.__context__, queue.Empty)
