from __future__ import annotations

from collections.abc import Sequence

import pytest

from apiguard.counters.base import StoreFailed
from apiguard.counters.breaker import FAILURES, FIRST_PAUSE, Breaker
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.resilient import ResilientCounter
from apiguard.rules.limits import Decision, Limit


def window(amount: int = 2, pk: int = 1, **more) -> Limit:
    return Limit(pk, more.pop("name", f"limit-{pk}"), "window", amount, 60, **more)


LOCAL = window(pk=1, on_store_failure="local")
OPEN = window(pk=2, on_store_failure="open")
CLOSED = window(pk=3, on_store_failure="closed")


class Store:
    """A counter that fails as it is told, and counts how often it was asked."""

    def __init__(self) -> None:
        self.counter = MemoryCounter()
        self.error: BaseException | None = None
        self.asked = 0

    def decide(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool = True
    ) -> Decision:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.counter.decide(principal, limits, cost, commit=commit)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counter(store, clock) -> ResilientCounter:
    return ResilientCounter(store, MemoryCounter(), Breaker(clock=clock))


def test_the_store_decides_while_it_is_well(counter, store):
    for _ in range(5):
        counter.decide("p", [LOCAL, OPEN, CLOSED], 1)
    assert store.asked == 5
    assert not counter.decide("p", [CLOSED], 1).allowed


def test_a_denial_is_no_failure(counter, store):
    for _ in range(10):
        counter.decide("p", [window(1)], 1)
    assert store.asked == 10
    assert not counter.breaker.away


def test_local_limits_are_counted_here_while_the_store_is_away(counter, store):
    store.error = StoreFailed("away")
    admitted = [counter.decide("p", [LOCAL], 1).allowed for _ in range(5)]
    assert admitted == [True, True, False, False, False]
    assert store.asked == FAILURES


def test_open_limits_are_not_counted_while_the_store_is_away(counter, store):
    store.error = StoreFailed("away")
    decisions = [counter.decide("p", [OPEN, LOCAL], 1, commit=False) for _ in range(5)]
    assert [one.limit for decision in decisions for one in decision.counted] == [LOCAL] * 5
    assert all(counter.decide("p", [OPEN], 1).allowed for _ in range(5))


def test_closed_limits_refuse_while_the_store_is_away(counter, store):
    store.error = StoreFailed("away")
    for _ in range(5):
        with pytest.raises(StoreFailed, match="limit-3 must be counted"):
            counter.decide("p", [LOCAL, OPEN, CLOSED], 1)
    store.error = None
    assert counter.decide("q", [LOCAL], 1, commit=False).counted[0].used == 0


def test_a_closed_limit_refuses_before_anything_is_counted_here(counter, store):
    store.error = StoreFailed("away")
    with pytest.raises(StoreFailed):
        counter.decide("p", [LOCAL, CLOSED], 2)
    assert counter.decide("p", [LOCAL], 2).allowed


def test_a_shadow_limit_that_is_closed_refuses_nobody(counter, store):
    store.error = StoreFailed("away")
    shadow = window(pk=4, on_store_failure="closed", shadow=True)
    decision = counter.decide("p", [shadow, LOCAL], 1)
    assert decision.allowed
    assert [one.limit for one in decision.counted] == [LOCAL]


def test_judging_without_counting_counts_nothing_here_either(counter, store):
    store.error = StoreFailed("away")
    for _ in range(5):
        assert counter.decide("p", [window(1)], 1, commit=False).allowed
    assert counter.decide("p", [window(1)], 1).allowed


def test_a_store_that_is_away_is_asked_again_only_by_single_probes(counter, store, clock):
    store.error = StoreFailed("away")
    for _ in range(100):
        counter.decide("p", [OPEN], 1)
    assert store.asked == FAILURES
    clock.now += FIRST_PAUSE
    for _ in range(100):
        counter.decide("p", [OPEN], 1)
    assert store.asked == FAILURES + 1


def test_a_store_that_came_back_decides_again(counter, store, clock):
    store.error = StoreFailed("away")
    for _ in range(FAILURES):
        counter.decide("p", [LOCAL], 1)
    store.error = None
    assert counter.breaker.away
    clock.now += FIRST_PAUSE
    assert [counter.decide("p", [LOCAL], 1).allowed for _ in range(3)] == [True, True, False]
    assert not counter.breaker.away


def test_a_mistake_of_the_store_is_raised_and_counts_as_a_failure(counter, store, clock):
    store.error = ZeroDivisionError()
    for _ in range(FAILURES):
        with pytest.raises(ZeroDivisionError):
            counter.decide("p", [OPEN], 1)
    assert counter.decide("p", [OPEN], 1).allowed


def test_a_probe_that_is_interrupted_is_followed_by_another(counter, store, clock):
    store.error = StoreFailed("away")
    for _ in range(FAILURES):
        counter.decide("p", [OPEN], 1)
    clock.now += FIRST_PAUSE
    store.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        counter.decide("p", [OPEN], 1)
    store.error = None
    clock.now += 2 * FIRST_PAUSE
    counter.decide("p", [OPEN], 1)
    assert not counter.breaker.away


def test_a_request_without_limits_is_no_probe(counter, store, clock):
    store.error = StoreFailed("away")
    for _ in range(FAILURES):
        counter.decide("p", [OPEN], 1)
    clock.now += FIRST_PAUSE
    assert counter.decide("p", [], 1).allowed
    assert store.asked == FAILURES
    assert counter.breaker.away


def test_each_failure_is_logged_with_its_reason(counter, store, caplog):
    store.error = StoreFailed("Redis: TimeoutError")
    for _ in range(100):
        counter.decide("p", [OPEN], 1)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["The counter's store failed. Redis: TimeoutError"] * FAILURES
