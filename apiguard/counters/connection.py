"""Connections to where the setting ``COUNTER`` says that limits are counted.

The one place that knows what such a name means: an alias of ``CACHES``
(django-redis, Sentinel included), or ``redis+cluster://host:port``. ``"memory"``
is nothing to connect to.

redis-py's pool raises at once when all its connections are in use, although one
comes back in less than a millisecond. Here threads wait for one, in the order in
which they came (``ConnectionSlots``).
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.core.cache import caches
from django.core.signals import setting_changed
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError
from redis.retry import Retry

CLUSTER = "redis+cluster://"
TIMEOUT_SECONDS = 0.05
# A wait for a slot is cut into so many.
SLICES = 10


def is_cluster(name: str) -> bool:
    """Whether this is the URL of a cluster, and no alias."""
    return name.startswith(CLUSTER)


def cluster_host(url: str) -> str:
    """Return host and port of a cluster's URL, without what may be a password."""
    return urlsplit(url).netloc.rpartition("@")[2]


@lru_cache(maxsize=8)
def connector(name: str, timeout: float = TIMEOUT_SECONDS) -> Callable[[], Any]:
    """Return a function that gives a client of redis-py, the same one to every thread.

    Args:
        timeout: seconds, for a cluster; an alias has timeouts of its own.

    What django-redis or the client raises is left to the caller.
    """
    return _cluster(name, timeout) if is_cluster(name) else _alias(name)


def _alias(name: str) -> Callable[[], Any]:
    # Every thread has a cache of its own in Django, which is closed after every request;
    # their clients share one pool of connections, so one client is as good for all of them.
    held: list[Any] = []

    def connect() -> Any:
        if not held:
            cache: Any = caches.create_connection(name)
            client = cache.client.get_client(write=True)
            # A script that timed out may have run: sent again, it counts twice.
            client.set_retry(Retry(NoBackoff(), 0))
            held.append(client)
        return held[0]

    def forget(*, setting: str, **_: object) -> None:
        if setting == "CACHES":
            held.clear()

    setting_changed.connect(forget, weak=False)
    return connect


def _cluster(url: str, timeout: float) -> Callable[[], Any]:
    clients: list[RedisCluster] = []

    def connect() -> RedisCluster:
        if not clients:
            clients.append(
                RedisCluster.from_url(
                    "redis://" + url.removeprefix(CLUSTER),
                    socket_timeout=timeout,
                    socket_connect_timeout=timeout,
                    # As for an alias: no retries.
                    retry=Retry(NoBackoff(), 0),
                )
            )
        return clients[0]

    return connect


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
