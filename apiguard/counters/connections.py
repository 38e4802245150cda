"""Connections that are asked over again and again, kept between two questions.

At every turn a pool of redis-py takes a lock, keeps books, and tells who may
listen, which costs more than half of what asking does. What has answered is
asked again without that. It is looked at first where it may have ended: it has
rested for longer than a moment, or another one was of no use since. Now and
then it goes back to the pool, which knows when to connect or sign in anew.

A pool that somebody has made small, or one that others wait for, is left as it
is: nothing is kept from those who share it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis import BlockingConnectionPool, RedisError

KEPT_SECONDS = 30.0
# Servers and proxies end what rests for minutes. A look costs two calls of the system.
RESTED_SECONDS = 0.5
# Of redis-py's own bound, which others may have a part in, at most this share.
LEAST_BOUND, SHARE = 100, 4


@dataclass(slots=True)
class Taken:
    """A connection, when it came from the pool, and when it answered last (seconds, monotonic)."""

    connection: Any
    since: float
    answered: float


class Connections:
    """Connections of one pool; thread-safe, without a lock.

    Attributes:
        are_scarce: whether somebody else may wait for one of them.

    Args:
        pool: of redis-py; what is taken is taken from it first.
    """

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        is_small = pool.max_connections < LEAST_BOUND
        self.are_scarce = is_small or isinstance(pool, BlockingConnectionPool)
        self._room = 0 if self.are_scarce else pool.max_connections // SHARE
        self._kept: deque[Taken] = deque()
        # When one of them was last found to be of no use; the others may be none either.
        self._dropped = float("-inf")

    def __del__(self) -> None:
        for taken in self._kept:
            self.pool.release(taken.connection)

    def take(self) -> Taken:
        """A connection that is ready for a command.

        Raises:
            redis.RedisError: there is none to be had.
        """
        try:
            taken = self._kept.pop()
        except IndexError:
            return self._from_pool()
        # A child must not speak over a connection of its parent's.
        if taken.connection.pid != os.getpid():
            self.pool.release(taken.connection)
            return self._from_pool()
        rests = time.monotonic() - taken.answered >= RESTED_SECONDS
        if (rests or taken.answered <= self._dropped) and _has_something(taken.connection):
            self.drop(taken)
            return self._from_pool()
        return taken

    def keep(self, taken: Taken) -> None:
        """Its answer has been read: it is ready for another command."""
        now = time.monotonic()
        if len(self._kept) < self._room and now - taken.since < KEPT_SECONDS:
            taken.answered = now
            self._kept.append(taken)
        else:
            self.pool.release(taken.connection)

    def drop(self, taken: Taken) -> None:
        """An answer may still come, and must not be read as that to another command."""
        self._dropped = time.monotonic()
        # The pool may sign in anew with a token that was renewed, and fail: whoever
        # takes it next will see, and whoever has no use for it need not know.
        with suppress(RedisError, OSError):
            taken.connection.disconnect()
            self.pool.release(taken.connection)

    def _from_pool(self) -> Taken:
        now = time.monotonic()
        return Taken(self.pool.get_connection(), now, now)


def _has_something(connection: Any) -> bool:
    """Whether there is anything to read although nothing was asked, such as its end."""
    try:
        return bool(connection.can_read(0))
    except (RedisError, OSError):
        return True
