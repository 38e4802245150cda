"""A connection to where the setting ``COUNTER`` says that limits are counted.

The one place that knows what such a name means: an alias of ``CACHES``
(django-redis, Sentinel included), or ``redis+cluster://host:port``. ``"memory"``
is nothing to connect to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.core.cache import caches
from django.core.signals import setting_changed
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

CLUSTER = "redis+cluster://"
TIMEOUT_SECONDS = 0.05


def is_cluster(name: str) -> bool:
    """Whether this is the URL of a cluster, and no alias."""
    return name.startswith(CLUSTER)


def cluster_host(url: str) -> str:
    """Host and port of a cluster's URL, without what may be a password."""
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
