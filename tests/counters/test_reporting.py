"""Where decisions are made is reported, once for each request that is counted."""

from __future__ import annotations

from collections import Counter as Counts

import pytest
from django.test import override_settings

from apiguard.concurrency import CircuitBreaker
from apiguard.counters.base import CounterUnavailable, LimitCheck, PoolExhausted, StoreFailed
from apiguard.counters.breaker import ResilientCounter
from apiguard.counters.denials import PolicyCounter
from apiguard.counters.factory import counter_for, forget_counters
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.reporting import ReportingCounter, ReportingDenials, ReportingLeases
from apiguard.rules.limits import Limit
from tests.counters.test_factory import Listener

FEW = (Limit(1, "few", "window", 2, 60),)
MANY = (Limit(2, "many", "window", 100_000, 60),)


class Report:
    def __init__(self):
        self.decisions, self.failures = Counts(), Counts()

    def count_decision(self, source):
        self.decisions[source] += 1

    def count_failure(self, kind):
        self.failures[kind] += 1


class Store:
    """A store that fails as it is told to."""

    def __init__(self):
        self.error, self._memory = None, MemoryCounter()

    def check(self, check):
        if self.error is not None:
            raise self.error
        return self._memory.check(check)


@pytest.fixture
def report():
    return Report()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def counter(report, store):
    """A counter as the factory makes it for Redis."""
    resilient = ResilientCounter(
        ReportingCounter(store, "redis", report),
        ReportingCounter(MemoryCounter(), "memory", report),
        CircuitBreaker(failures=100),
    )
    return PolicyCounter(resilient, ReportingDenials(report), ReportingLeases(resilient, report))


def test_the_store_decides_until_a_denial_is_remembered(counter, report):
    policy = object()
    for _ in range(5):
        counter.check(policy, LimitCheck("p", FEW, 1))
    assert report.decisions == {"redis": 3, "denial": 2}
    assert counter.check_in_memory(policy, LimitCheck("p", FEW, 1)) is not None
    assert report.decisions["denial"] == 3


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreFailed("away"), "store"),
        (PoolExhausted("full"), "pool"),
        (KeyError("a mistake"), "defect"),
    ],
)
def test_without_the_store_memory_decides_and_the_failure_is_counted(
    counter, report, store, error, kind
):
    store.error = error
    counter.check(object(), LimitCheck("p", FEW, 1))
    assert (report.decisions, report.failures) == ({"memory": 1}, {kind: 1})


@pytest.mark.parametrize("failing", ["open", "closed"])
def test_where_nothing_is_counted_nothing_decides(counter, report, store, failing):
    store.error = StoreFailed("away")
    limits = (Limit(3, "l", "window", 2, 60, on_store_failure=failing),)
    try:
        counter.check(object(), LimitCheck("p", limits, 1))
    except CounterUnavailable:
        assert failing == "closed"
    assert (report.decisions, report.failures) == ({}, {"store": 1})


def test_a_peek_is_not_reported(counter, report):
    policy = object()
    for _ in range(3):
        counter.check(policy, LimitCheck("p", FEW, 1))
    before = report.decisions.copy()
    counter.check(policy, LimitCheck("p", FEW, 1, commit=False))
    counter.check(policy, LimitCheck("q", FEW, 1, commit=False))
    assert report.decisions == before


def test_in_memory_memory_decides(report):
    counter = counter_for("memory", "reporting", Listener(), True, report)
    counter.check(None, LimitCheck("p", FEW, 1))
    assert report.decisions == {"memory": 1}
    forget_counters()


def test_each_request_of_a_busy_caller_is_reported_once(report, redis_client, redis_url):
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}
    policy = object()
    with override_settings(CACHES={"reporting": cache}):
        counter = counter_for("reporting", "reporting", Listener(), True, report)
        for _ in range(40):
            assert counter.check(policy, LimitCheck("p", MANY, 1)).allowed
        # So that nothing is given back when the settings are others again.
        counter._leases.forget_all()
    assert report.decisions.total() == 40
    assert report.decisions["lease"] > report.decisions["redis"] > 0
    forget_counters()
