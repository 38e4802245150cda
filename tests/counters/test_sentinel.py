"""Counting through a cache alias of django-redis that finds its master by Sentinel."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep

import pytest
from django.test import override_settings
from django_redis import get_redis_connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from apiguard.concurrency import FAILURES, LONGEST_PAUSE, CircuitBreaker
from apiguard.counters.base import CounterUnavailable
from apiguard.counters.breaker import ResilientCounter
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Limit
from tests.counters.checking import check
from tests.servers import Server
from tests.stores import redis_sentinel, redis_server

pytestmark = pytest.mark.slow

SERVICE = "guard"
TIMEOUTS = {"socket_timeout": 1, "socket_connect_timeout": 1}
LOCAL = Limit(1, "local", "window", 1000, 3600)
CLOSED = Limit(2, "closed", "window", 1000, 3600, on_store_failure="closed")


@pytest.fixture
def master() -> Iterator[Server]:
    with redis_server() as server:
        yield server


@pytest.fixture
def replica() -> Iterator[Server]:
    with redis_server() as server:
        yield server


@pytest.fixture
def alias(master, replica) -> Iterator[str]:
    with redis_sentinel(SERVICE, master, replica) as sentinel:
        cache = {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://{SERVICE}/0",
            "OPTIONS": {
                "CLIENT_CLASS": "django_redis.client.SentinelClient",
                "SENTINELS": [("127.0.0.1", sentinel.port)],
                "SENTINEL_KWARGS": TIMEOUTS,
                "CONNECTION_POOL_KWARGS": {**TIMEOUTS, "retry": Retry(NoBackoff(), 0)},
            },
        }
        with override_settings(
            CACHES={"apiguard": cache},
            DJANGO_REDIS_CONNECTION_FACTORY="django_redis.pool.SentinelConnectionFactory",
        ):
            yield "apiguard"
            get_redis_connection("apiguard").connection_pool.disconnect()


def test_a_master_that_dies_is_followed_to_its_replica(alias, master, replica):
    now = [1000.0]
    counter = ResilientCounter(
        RedisCounter(lambda: get_redis_connection(alias), "sentinel"),
        MemoryCounter(),
        CircuitBreaker(clock=lambda: now[0]),
    )
    for _ in range(5):
        assert check(counter, "p", [LOCAL, CLOSED], 1).allowed
    with Redis(port=master.port) as client:
        # What the replica has confirmed is copied, and all that came before.
        client.set("mark", 1)
        assert client.wait(1, 10_000) == 1

    master.process.kill()
    for _ in range(FAILURES):
        with pytest.raises(CounterUnavailable):
            check(counter, "p", [LOCAL, CLOSED], 1)
    assert counter.breaker.away
    assert check(counter, "p", [LOCAL], 1).counted[0].used == 1

    for _ in range(150):
        now[0] += LONGEST_PAUSE
        check(counter, "p", [LOCAL], 1)
        if not counter.breaker.away:
            break
        sleep(0.2)
    # What the replica had copied goes on counting.
    assert check(counter, "p", [LOCAL, CLOSED], 1).counted[1].used == 6
    with Redis(port=replica.port, socket_timeout=5) as client:
        assert client.info("replication")["role"] == "master"
        assert client.dbsize() == 3
