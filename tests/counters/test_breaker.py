from __future__ import annotations

import pytest

from apiguard.concurrency import FAILURES, FIRST_PAUSE, CircuitBreaker
from apiguard.counters.base import (
    CounterUnavailable,
    GiveBack,
    LimitCheck,
    PoolExhausted,
    StoreFailed,
)
from apiguard.counters.breaker import LOGGED_EVERY_SECONDS, FaultLog, ResilientCounter
from apiguard.counters.memory import MemoryCounter
from apiguard.rules.limits import Decision, Limit
from tests.counters.checking import check


def window(amount: int = 2, pk: int = 1, **more) -> Limit:
    return Limit(pk, more.pop("name", f"limit-{pk}"), "window", amount, 60, **more)


LOCAL = window(pk=1, on_store_failure="local")
OPEN = window(pk=2, on_store_failure="open")
CLOSED = window(pk=3, on_store_failure="closed")


class Store:
    """A counter that raises ``error``, if any, and counts how often it was used."""

    def __init__(self) -> None:
        self.counter = MemoryCounter()
        self.error: BaseException | None = None
        self.asked = 0

    def check(self, check: LimitCheck) -> Decision:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.counter.check(check)


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
    return ResilientCounter(store, MemoryCounter(), CircuitBreaker(clock=clock))


def test_the_store_decides_while_it_is_well(counter, store):
    for _ in range(5):
        check(counter, "p", [LOCAL, OPEN, CLOSED], 1)
    assert store.asked == 5
    assert not check(counter, "p", [CLOSED], 1).allowed


def test_a_denial_is_no_failure(counter, store):
    for _ in range(10):
        check(counter, "p", [window(1)], 1)
    assert store.asked == 10
    assert not counter.breaker.away


def test_local_limits_are_counted_here_while_the_store_is_away(counter, store):
    store.error = StoreFailed("away")
    admitted = [check(counter, "p", [LOCAL], 1).allowed for _ in range(5)]
    assert admitted == [True, True, False, False, False]
    assert store.asked == FAILURES


def test_open_limits_are_not_counted_while_the_store_is_away(counter, store):
    store.error = StoreFailed("away")
    decisions = [check(counter, "p", [OPEN, LOCAL], 1, commit=False) for _ in range(5)]
    assert [one.limit for decision in decisions for one in decision.counted] == [LOCAL] * 5
    assert all(check(counter, "p", [OPEN], 1).allowed for _ in range(5))


def test_closed_limits_refuse_while_the_store_is_away(counter, store):
    store.error = StoreFailed("away")
    for _ in range(5):
        with pytest.raises(CounterUnavailable, match="limit-3 must be counted"):
            check(counter, "p", [LOCAL, OPEN, CLOSED], 1)
    store.error = None
    assert check(counter, "q", [LOCAL], 1, commit=False).counted[0].used == 1


def test_a_closed_limit_refuses_before_anything_is_counted_here(counter, store):
    store.error = StoreFailed("away")
    with pytest.raises(CounterUnavailable):
        check(counter, "p", [LOCAL, CLOSED], 2)
    assert check(counter, "p", [LOCAL], 2).allowed


def test_a_shadow_limit_that_is_closed_refuses_nobody(counter, store):
    store.error = StoreFailed("away")
    shadow = window(pk=4, on_store_failure="closed", shadow=True)
    decision = check(counter, "p", [shadow, LOCAL], 1)
    assert decision.allowed
    assert [one.limit for one in decision.counted] == [LOCAL]


def test_judging_without_counting_counts_nothing_here_either(counter, store):
    store.error = StoreFailed("away")
    for _ in range(5):
        assert check(counter, "p", [window(1)], 1, commit=False).allowed
    assert check(counter, "p", [window(1)], 1).allowed


def test_what_was_counted_here_is_settled_here_also_when_the_store_is_back(counter, store):
    slot = Limit(4, "slot", "concurrent", 1, 600, unit="concurrent-requests")
    tokens = window(amount=100, pk=5, unit="tokens")
    check = LimitCheck("p", (slot, tokens), 1, costs=(1, 60))
    store.error = StoreFailed("away")
    decision = counter.check(check)
    assert (decision.allowed, decision.is_local) == (True, True)
    assert not counter.check(check).allowed
    store.error = None
    for limit, units in ((slot, 1), (tokens, 60)):
        back = LimitCheck(
            *("p", (limit,), 0), given_back=(GiveBack(decision.now, 10**6, units),), is_local=True
        )
        counter.check(back)
    store.error = StoreFailed("away")
    assert counter.check(check).allowed
    # What the store had counted is given back to the store alone.
    of_the_store = LimitCheck("p", (slot,), 0, given_back=(GiveBack(decision.now, 10**6, 1),))
    counter.check(of_the_store)
    assert not counter.check(check).allowed


def test_a_store_that_is_away_gets_single_probes_alone(counter, store, clock):
    store.error = StoreFailed("away")
    for _ in range(100):
        check(counter, "p", [OPEN], 1)
    assert store.asked == FAILURES
    clock.now += FIRST_PAUSE
    for _ in range(100):
        check(counter, "p", [OPEN], 1)
    assert store.asked == FAILURES + 1


def test_a_store_that_came_back_decides_again(counter, store, clock):
    store.error = StoreFailed("away")
    for _ in range(FAILURES):
        check(counter, "p", [LOCAL], 1)
    store.error = None
    assert counter.breaker.away
    clock.now += FIRST_PAUSE
    assert [check(counter, "p", [LOCAL], 1).allowed for _ in range(3)] == [True, True, False]
    assert not counter.breaker.away


NOT_OUTAGES = pytest.mark.parametrize(
    ("error", "kind", "name"),
    [
        pytest.param(ZeroDivisionError(), "defect", "ZeroDivisionError", id="a defect"),
        pytest.param(PoolExhausted("2 in use"), "pool", "connection pool", id="a used-up pool"),
    ],
)


@NOT_OUTAGES
def test_what_is_no_outage_decides_as_the_limit_says_and_opens_no_circuit(
    counter, store, error, kind, name
):
    store.error = error
    for _ in range(2 * FAILURES):
        assert check(counter, "p", [OPEN], 1).allowed
        with pytest.raises(CounterUnavailable, match="limit-3 must be counted"):
            check(counter, "p", [CLOSED], 1)
    assert [check(counter, "p", [LOCAL], 1).allowed for _ in range(3)] == [True, True, False]
    assert store.asked == 4 * FAILURES + 3
    assert not counter.breaker.away


@NOT_OUTAGES
def test_what_is_no_outage_is_recorded_each_time_and_logged_once_a_minute(
    store, clock, caplog, error, kind, name
):
    faults = []
    log = FaultLog(faults.append, clock)
    counter = ResilientCounter(store, MemoryCounter(), CircuitBreaker(clock=clock), log)
    store.error = error
    for _ in range(3):
        check(counter, "p", [OPEN], 1)
    assert [(fault.kind, fault.name.startswith(name)) for fault in faults] == [(kind, True)] * 3
    (record,) = caplog.records
    assert (record.exc_info is not None) == (kind == "defect")
    clock.now += LOGGED_EVERY_SECONDS
    check(counter, "p", [OPEN], 1)
    assert len(caplog.records) == 2


@NOT_OUTAGES
def test_a_probe_that_learnt_nothing_is_followed_by_another(
    counter, store, clock, error, kind, name
):
    store.error = StoreFailed("away")
    for _ in range(FAILURES):
        check(counter, "p", [OPEN], 1)
    clock.now += FIRST_PAUSE
    store.error = error
    check(counter, "p", [OPEN], 1)
    store.error = None
    clock.now += 2 * FIRST_PAUSE
    check(counter, "p", [OPEN], 1)
    assert not counter.breaker.away


def test_a_defect_is_named_by_what_was_raised_and_where():
    def fail():
        raise LookupError("secret")

    faults = []
    try:
        fail()
    except LookupError as error:
        FaultLog(faults.append).record_defect(error)
    (fault,) = faults
    assert fault.name.startswith("LookupError in test_breaker.py:")


def test_a_probe_that_is_interrupted_is_followed_by_another(counter, store, clock):
    store.error = StoreFailed("away")
    for _ in range(FAILURES):
        check(counter, "p", [OPEN], 1)
    clock.now += FIRST_PAUSE
    store.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        check(counter, "p", [OPEN], 1)
    store.error = None
    clock.now += 2 * FIRST_PAUSE
    check(counter, "p", [OPEN], 1)
    assert not counter.breaker.away


def test_a_request_without_limits_is_no_probe(counter, store, clock):
    store.error = StoreFailed("away")
    for _ in range(FAILURES):
        check(counter, "p", [OPEN], 1)
    clock.now += FIRST_PAUSE
    assert check(counter, "p", [], 1).allowed
    assert store.asked == FAILURES
    assert counter.breaker.away


def test_each_failure_is_logged_with_its_reason(counter, store, caplog):
    store.error = StoreFailed("Redis: TimeoutError")
    for _ in range(100):
        check(counter, "p", [OPEN], 1)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["The counter's store failed. Redis: TimeoutError"] * FAILURES
