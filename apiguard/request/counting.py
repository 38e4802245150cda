"""The counter of this process: where the settings say that limits are counted."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from ..conf import Settings
from ..counters.base import Counter
from ..counters.memory import MemoryCounter
from ..counters.redis import RedisCounter

TIMEOUT_SECONDS = 0.05


def counter_for(settings: Settings) -> Counter:
    """The counter that these settings name; one per process."""
    return _counter(settings.counter, settings.counter_prefix)


def forget() -> None:
    """Drop this process's counters, and with them what was counted in memory; for tests."""
    _counter.cache_clear()


@lru_cache(maxsize=8)
def _counter(name: str, prefix: str) -> Counter:
    if name == "memory":
        return MemoryCounter()
    if name.startswith("redis+cluster://"):
        return RedisCounter(_cluster(name.removeprefix("redis+cluster")), prefix)
    return RedisCounter(_alias(name), prefix)


def _alias(name: str) -> Any:
    # Imported late: django-redis is only needed where a cache alias is named.
    from django_redis import get_redis_connection

    return lambda: get_redis_connection(name)


def _cluster(rest: str) -> Any:
    clients: list[RedisCluster] = []

    def connect() -> RedisCluster:
        if not clients:
            clients.append(
                RedisCluster.from_url(
                    "redis" + rest,
                    socket_timeout=TIMEOUT_SECONDS,
                    socket_connect_timeout=TIMEOUT_SECONDS,
                    # A script that timed out may have run: asked again, it counts twice.
                    retry=Retry(NoBackoff(), 0),
                )
            )
        return clients[0]

    return connect
