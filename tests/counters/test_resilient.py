from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from apiguard.counters.base import Answered, Asked, Question, StoreFailed
from apiguard.counters.breaker import FAILURES, FIRST_PAUSE, Breaker, Phase
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.resilient import ResilientCounter
from apiguard.rules.limits import Decision, Limit
from tests.counters.later import Later


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


# -- in two steps -----------------------------------------------------------------


class InTwoSteps(Store):
    """As ``Store``, asked in two steps; it fails at the one that it is told."""

    fails_when = "asked"

    def ask(self, question: Question) -> Asked:
        decide = partial(self.decide, *question[:3], commit=question.commit)
        if self.fails_when == "asked":
            decision = decide()
            return Later(lambda: decision)
        return Later(decide)


class Told(Breaker):
    """Remembers what it was told."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.told: list[str] = []

    def succeeded(self, phase: Phase) -> None:
        self.told.append("succeeded")
        super().succeeded(phase)

    def failed(self, phase: Phase) -> None:
        self.told.append("failed")
        super().failed(phase)


@pytest.fixture
def stepwise(clock) -> ResilientCounter:
    return ResilientCounter(InTwoSteps(), MemoryCounter(), Told(clock=clock))


def test_a_store_that_answers_later_is_waited_for_later_and_no_other_is(stepwise, counter):
    asked = stepwise.ask(Question("p", (LOCAL,), 1))
    assert not isinstance(asked, Answered)
    assert stepwise.breaker.told == []
    assert asked.answer().counted[0].used == 1
    assert stepwise.breaker.told == ["succeeded"]
    assert isinstance(counter.ask(Question("p", (LOCAL,), 1)), Answered)


STEPS = pytest.mark.parametrize("step", ["asked", "answered"])


@STEPS
@pytest.mark.parametrize(
    ("limit", "expected"), [(LOCAL, [LOCAL]), (OPEN, []), (CLOSED, None)], ids=lambda x: str(x)[:9]
)
def test_at_either_step_a_failure_is_told_once_and_the_limit_says_what_happens(
    stepwise, step, limit, expected
):
    stepwise._store.fails_when, stepwise._store.error = step, StoreFailed("away")
    if expected is None:
        with pytest.raises(StoreFailed, match="limit-3 must be counted"):
            stepwise.decide("p", [limit], 1)
    else:
        decision = stepwise.decide("p", [limit], 1)
        assert (decision.allowed, [one.limit for one in decision.counted]) == (True, expected)
    assert stepwise.breaker.told == ["failed"]


@STEPS
def test_failures_at_either_step_open_the_circuit(stepwise, step):
    stepwise._store.fails_when, stepwise._store.error = step, StoreFailed("away")
    for _ in range(20):
        stepwise.decide("p", [OPEN], 1)
    assert stepwise._store.asked == FAILURES
    assert stepwise.breaker.told == ["failed"] * FAILURES
    # Nobody is asked, so there is nothing to wait for.
    assert isinstance(stepwise.ask(Question("p", (OPEN,), 1)), Answered)


@STEPS
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_at_either_step_whatever_else_is_raised_is_told_once_and_goes_on(stepwise, step, error):
    stepwise._store.fails_when, stepwise._store.error = step, error()
    with pytest.raises(error):
        stepwise.decide("p", [OPEN], 1)
    assert stepwise.breaker.told == ["failed"]


def test_one_that_is_given_up_says_nothing_of_the_store(stepwise):
    for _ in range(FAILURES):
        asked = stepwise.ask(Question("p", (OPEN,), 1))
        asked.give_up()
        asked.give_up()
    assert stepwise.breaker.told == []


def test_a_probe_that_is_given_up_is_followed_by_another(stepwise, clock):
    store = stepwise._store
    store.error = StoreFailed("away")
    for _ in range(FAILURES):
        stepwise.decide("p", [OPEN], 1)
    store.error = None
    clock.now += FIRST_PAUSE
    probe = stepwise.ask(Question("p", (OPEN,), 1))
    stepwise.decide("p", [OPEN], 1)
    assert store.asked == FAILURES + 1
    probe.give_up()
    clock.now += 2 * FIRST_PAUSE
    stepwise.decide("p", [OPEN], 1)
    assert not stepwise.breaker.away


def test_an_answer_from_before_the_circuit_opened_does_not_close_it(stepwise):
    early = stepwise.ask(Question("p", (OPEN,), 1))
    stepwise._store.error = StoreFailed("away")
    for _ in range(FAILURES):
        stepwise.decide("p", [OPEN], 1)
    assert early.answer().allowed
    assert stepwise.breaker.away
