"""What a benchmark says of the counter's round trips is what the server was told."""

from __future__ import annotations

import pytest
from redis import Redis

from apiguard.counters.redis import RedisCounter
from benchmarks.limits.limiters import windows
from benchmarks.round_trips import commands_of, microseconds_in_redis
from tests.counters.checking import check


@pytest.fixture
def redis_client(redis_url):
    with Redis.from_url(redis_url, socket_timeout=5) as client:
        client.flushdb()
        yield client


@pytest.mark.parametrize("number", [1, 3, 8])
def test_however_many_limits_there_are_a_decision_is_one_command(redis_client, number):
    counter, limits = RedisCounter(lambda: redis_client), windows(number, 100)
    check(counter, "p", limits, 1)
    assert commands_of(redis_client, lambda: check(counter, "p", limits, 1)) == ["EVALSHA"]
    assert microseconds_in_redis(redis_client, lambda: check(counter, "p", limits, 1), 3) > 0


def test_every_command_of_a_call_is_counted(redis_client):
    def call():
        redis_client.set("a", "1")
        redis_client.get("a")

    assert commands_of(redis_client, call) == ["SET", "GET"]
