"""Connections that are asked over again and again, kept between two questions.

At every turn a pool of redis-py takes a lock, counts, and probes the socket,
which costs more than half of what asking does. What answered within the last
second is asked again as it is; whatever was idle for longer goes back to the
pool, which probes it.

A pool that somebody has made small, or one that others wait for, is left as it
is: nothing is kept from those who share it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any

from redis import BlockingConnectionPool

FRESH_SECONDS = 1.0
# Of redis-py's own bound, which others may have a part in, at most this share.
LEAST_BOUND, SHARE = 100, 4


class Connections:
    """Connections of one pool; thread-safe, without a lock.

    Args:
        pool: of redis-py; what is taken is taken from it first.
    """

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.is_shared = isinstance(pool, BlockingConnectionPool)
        is_small = pool.max_connections < LEAST_BOUND
        self._room = 0 if self.is_shared or is_small else pool.max_connections // SHARE
        self._kept: deque[tuple[Any, float]] = deque()

    def __del__(self) -> None:
        for connection, _ in self._kept:
            self.pool.release(connection)

    def take(self) -> Any:
        """A connection that is ready for a command.

        Raises:
            redis.RedisError: there is none to be had.
        """
        try:
            connection, used_at = self._kept.pop()
        except IndexError:
            return self.pool.get_connection()
        is_fresh = time.monotonic() - used_at < FRESH_SECONDS
        if is_fresh and connection.pid == os.getpid():
            return connection
        self.pool.release(connection)
        return self.pool.get_connection()

    def keep(self, connection: Any) -> None:
        """Its answer has been read: it is ready for another command."""
        if len(self._kept) < self._room:
            self._kept.append((connection, time.monotonic()))
        else:
            self.pool.release(connection)

    def drop(self, connection: Any) -> None:
        """An answer may still come, and must not be read as that to another command."""
        connection.disconnect()
        self.pool.release(connection)
