"""The counter that the settings name."""

from __future__ import annotations

import time

import pytest
from django.test import override_settings

from apiguard.concurrency import FAILURES, LONGEST_PAUSE
from apiguard.counters import factory
from apiguard.counters.base import LimitCheck
from apiguard.rules.limits import Limit

LIMIT = Limit(1, "window", "window", 100_000, 60)


class Listener:
    """Keeps what becomes of the store."""

    def __init__(self) -> None:
        self.changes: list[bool] = []

    def record_change(self, away: bool) -> None:
        self.changes.append(away)

    def record_fault(self, fault: object) -> None:
        raise AssertionError


@pytest.mark.parametrize("leases", [True, False])
def test_the_setting_leases_says_whether_units_are_reserved(redis_client, redis_url, leases):
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}
    with override_settings(CACHES={"leasing": cache}):
        counter = factory.counter_for("leasing", "factory", Listener(), leases)
        counter.check(None, LimitCheck("warm", (LIMIT,), 1))
        redis_client.config_resetstat()
        for _ in range(20):
            assert counter.check(None, LimitCheck("p", (LIMIT,), 1)).allowed
        commands = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert commands < 20 if leases else commands == 20
    factory.forget_counters()


def test_leases_outlive_the_store_and_end_when_it_is_back(redis_client, redis_url):
    """It may have been restarted, without what was reserved in it."""
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}
    check, listener = LimitCheck("p", (LIMIT,), 1), Listener()
    with override_settings(CACHES={"leasing": cache}):
        counter = factory.counter_for("leasing", "factory", listener, True)
        for _ in range(20):
            counter.check(None, check)
        breaker = counter._leases._counter.breaker
        for _ in range(FAILURES):
            breaker.failed(breaker.allowed())
        assert len(counter._leases) == 1
        breaker._clock = lambda: time.monotonic() + LONGEST_PAUSE
        assert breaker.succeeded(breaker.allowed())
    assert len(counter._leases) == 0
    assert listener.changes == [True, False]
    factory.forget_counters()


def test_in_memory_nothing_is_reserved():
    counter = factory.counter_for("memory", "factory", Listener(), True)
    decisions = [counter.check(None, LimitCheck("p", (LIMIT,), 1)) for _ in range(5)]
    assert [one.reserved for one in decisions] == [0] * 5
    assert decisions[-1].counted[0].used == 5
    factory.forget_counters()


def test_who_forgets_the_counters_gives_nothing_back_later(redis_client, redis_url):
    """Else the counts of whoever counts next under the same name would shrink."""
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}
    with override_settings(CACHES={"leasing": cache}):
        counter = factory.counter_for("leasing", "factory", Listener(), True)
        for _ in range(20):
            counter.check(None, LimitCheck("p", (LIMIT,), 1))
        leases = counter._leases
        assert len(leases) == 1
        factory.forget_counters()
        assert len(leases) == 0
        redis_client.config_resetstat()
        leases.give_back_unused()
    assert "cmdstat_evalsha" not in redis_client.info("commandstats")
