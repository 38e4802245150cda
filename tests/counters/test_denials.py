from __future__ import annotations

import gc
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.counters.base import LimitCheck, StoreFailed
from apiguard.counters.denials import LONGEST, LONGEST_RESERVED, Denials
from apiguard.counters.memory import MemoryCounter
from apiguard.rules.limits import MICROSECONDS, Decision, Limit
from tests.counters.checking import check
from tests.examples import examples

START = 1_790_000_000_123_456
PER_MINUTE = Limit(1, "per-minute", "window", 3, 60)
PER_DAY = Limit(2, "per-day", "quota", 50, 0, "day")
LIMITS = (PER_MINUTE, PER_DAY)


class Policy:
    """Some state of all policy."""


POLICY = Policy()


class Clock:
    """One clock for all: microseconds for counters, seconds for denials."""

    now = START

    def __call__(self) -> int:
        return self.now

    def seconds(self) -> float:
        return (self.now - START) / MICROSECONDS


class Counted(MemoryCounter):
    """Counts how often it was asked; ``trip`` microseconds pass on either way."""

    asked = 0
    trip = 0

    def check(self, check: LimitCheck) -> Decision:
        self.asked += 1
        self._clock.now += self.trip
        decision = super().check(check)
        self._clock.now += self.trip
        return decision


def decide(denials: Denials, counter: Any, policy: object, *check: Any) -> Decision:
    """What is remembered, or what the counter decides."""
    return denials.check(counter, policy, LimitCheck(*check))


def recall(denials: Denials, *check: Any) -> Decision | None:
    return denials.recall(POLICY, LimitCheck(*check))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock) -> Counted:
    return Counted(clock)


@pytest.fixture
def denials(clock) -> Denials:
    return Denials(clock.seconds)


def exhaust(denials: Denials, store: Counted, principal: str = "p") -> Decision:
    for _ in range(3):
        assert decide(denials, store, POLICY, principal, LIMITS, 1).allowed
    denied = decide(denials, store, POLICY, principal, LIMITS, 1)
    assert not denied.allowed
    store.asked = 0
    return denied


def test_a_client_that_hammers_costs_no_round_trip(denials, store):
    denied = exhaust(denials, store)
    for _ in range(100):
        assert decide(denials, store, POLICY, "p", LIMITS, 1) == denied
    assert store.asked == 0


def test_an_admission_is_not_remembered(denials, store):
    for _ in range(3):
        decide(denials, store, POLICY, "p", LIMITS, 1)
    assert (len(denials), store.asked) == (0, 3)


def test_what_only_a_shadow_limit_refuses_is_not_remembered(denials, store):
    shadow = (replace(PER_MINUTE, shadow=True),)
    for _ in range(10):
        assert decide(denials, store, POLICY, "p", shadow, 1).allowed
    assert (len(denials), store.asked) == (0, 10)


def test_waits_count_down(denials, store, clock):
    denied = exhaust(denials, store)
    clock.now += 2 * MICROSECONDS + 1
    recalled = decide(denials, store, POLICY, "p", LIMITS, 1)
    assert store.asked == 0
    assert recalled == check(store, "p", LIMITS, 1)
    assert recalled.retry_after == denied.retry_after - 2


def another_policy(denials: Denials, store: Counted) -> None:
    decide(denials, store, Policy(), "p", LIMITS, 1)


def another_principal(denials: Denials, store: Counted) -> None:
    decide(denials, store, POLICY, "q", LIMITS, 1)


def another_amount(denials: Denials, store: Counted) -> None:
    decide(denials, store, POLICY, "p", (replace(PER_MINUTE, amount=4), PER_DAY), 1)


def fewer_limits(denials: Denials, store: Counted) -> None:
    decide(denials, store, POLICY, "p", (PER_DAY,), 1)


@pytest.mark.parametrize(
    "ask",
    [another_policy, another_principal, another_amount, fewer_limits],
    ids=lambda f: f.__name__,
)
def test_anything_else_goes_to_the_store(denials, store, ask):
    exhaust(denials, store)
    ask(denials, store)
    assert store.asked == 1


def test_a_lower_cost_goes_to_the_store_because_it_may_fit(denials, store):
    decide(denials, store, POLICY, "p", LIMITS, 2)
    assert not decide(denials, store, POLICY, "p", LIMITS, 2).allowed
    assert decide(denials, store, POLICY, "p", LIMITS, 1).allowed


def test_a_higher_cost_goes_to_the_store_because_it_waits_longer(denials, store, clock):
    decide(denials, store, POLICY, "p", LIMITS, 1)
    clock.now += 30 * MICROSECONDS
    decide(denials, store, POLICY, "p", LIMITS, 2)
    waits = [decide(denials, store, POLICY, "p", LIMITS, cost).retry_after for cost in (1, 2, 1, 2)]
    assert waits == [30, 60, 30, 60]
    assert store.asked == 4


def test_what_was_admitted_meanwhile_is_in_the_next_denial(denials, store):
    decide(denials, store, POLICY, "p", LIMITS, 2)
    assert decide(denials, store, POLICY, "p", LIMITS, 2).counted[0].used == 2
    decide(denials, store, POLICY, "p", LIMITS, 1)
    assert decide(denials, store, POLICY, "p", LIMITS, 2).counted[0].used == 3


def test_any_number_of_costs_takes_bounded_room(denials, store):
    exhaust(denials, store)
    for cost in range(1, 100):
        assert not decide(denials, store, POLICY, "p", LIMITS, cost).allowed
    assert len(denials) == 1
    assert recall(denials, "p", LIMITS, 99) is not None
    assert sum(recall(denials, "p", LIMITS, cost) is not None for cost in range(100)) <= 8


def test_it_is_forgotten_when_the_request_could_be_admitted(denials, store, clock):
    short = (Limit(1, "per-second", "window", 1, 1),)
    decide(denials, store, POLICY, "p", short, 1)
    assert not decide(denials, store, POLICY, "p", short, 1).allowed
    clock.now += MICROSECONDS - 1
    assert not decide(denials, store, POLICY, "p", short, 1).allowed
    clock.now += 1
    assert decide(denials, store, POLICY, "p", short, 1).allowed
    assert store.asked == 3


def test_it_is_forgotten_when_the_store_was_reset_some_seconds_ago(denials, store, clock):
    exhaust(denials, store)
    store.clear()
    clock.now += int(LONGEST * MICROSECONDS) - 1
    assert not decide(denials, store, POLICY, "p", LIMITS, 1).allowed
    clock.now += 1
    assert decide(denials, store, POLICY, "p", LIMITS, 1).allowed


def test_a_denial_that_is_dropped_is_gone_at_once(denials, store):
    exhaust(denials, store)
    store.clear()
    denials.clear()
    assert decide(denials, store, POLICY, "p", LIMITS, 1).allowed


def test_a_slow_answer_neither_refuses_too_long_nor_lets_come_too_early(denials, store, clock):
    short = (Limit(1, "per-second", "window", 1, 1),)
    decide(denials, store, POLICY, "p", short, 1)
    admitted_at = clock.now
    store.trip = 20_000
    decide(denials, store, POLICY, "p", short, 1)
    store.trip = 0
    clock.now = admitted_at + MICROSECONDS // 2
    recalled = recall(denials, "p", short, 1)
    assert clock.now + recalled.counted[0].wait >= admitted_at + MICROSECONDS
    clock.now = admitted_at + MICROSECONDS
    assert decide(denials, store, POLICY, "p", short, 1).allowed


def test_a_store_that_fails_is_not_remembered(denials, clock):
    class Away:
        def check(self, check: LimitCheck) -> Decision:
            raise StoreFailed("away")

    with pytest.raises(StoreFailed):
        decide(denials, Away(), POLICY, "p", LIMITS, 1)
    assert len(denials) == 0


def test_a_check_that_is_not_committed_is_neither_remembered_nor_forgets(denials, store):
    denied = exhaust(denials, store)
    assert decide(denials, store, POLICY, "p", (PER_DAY,), 1, False).allowed
    assert recall(denials, "p", LIMITS, 1) == denied
    assert not decide(denials, store, POLICY, "q", LIMITS, 4, False).allowed
    assert recall(denials, "q", LIMITS, 4) is None


def test_there_are_never_more_than_it_may_hold_and_the_oldest_goes(clock, store):
    denials = Denials(clock.seconds, max_principals=10)
    for number in range(30):
        exhaust(denials, store, f"ip:{number}")
        assert len(denials) <= 10
    assert recall(denials, "ip:19", LIMITS, 1) is None
    assert recall(denials, "ip:20", LIMITS, 1) is not None


def test_an_old_policy_is_not_kept_alive(denials, store):
    class Snapshot:
        pass

    old = Snapshot()
    for _ in range(4):
        decide(denials, store, old, "p", LIMITS, 1)
    gone = weakref.ref(old)
    del old
    exhaust(denials, store, "q")
    gc.collect()
    assert gone() is None


def test_threads_may_share_it():
    clock = Clock()
    store, denials = Counted(clock), Denials(clock.seconds, max_principals=5)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            decisions = list(
                pool.map(
                    lambda n: (n % 9, decide(denials, store, POLICY, f"p{n % 9}", LIMITS, 1)),
                    range(2000),
                )
            )
    finally:
        sys.setswitchinterval(before)
    for number in range(9):
        assert sum(one.allowed for who, one in decisions if who == number) == 3
    assert len(denials) <= 5


PAUSE = st.one_of(st.integers(0, 3 * MICROSECONDS), st.integers(0, 70 * MICROSECONDS))


@settings(max_examples=examples(60))
@given(
    trace=st.lists(st.tuples(PAUSE, st.integers(1, 5)), min_size=1, max_size=60),
    amount=st.integers(1, 60),
    period=st.sampled_from([1, 10, 60]),
)
def test_a_recalled_denial_is_what_the_store_would_say(trace, amount, period):
    clock = Clock()
    store, denials = MemoryCounter(clock), Denials(clock.seconds)
    limits = (
        Limit(1, "window", "window", amount, period),
        Limit(2, "burst", "window", 4, 2),
        Limit(3, "shadow", "window", 5, 7, shadow=True),
        Limit(4, "day", "quota", 90, 0, "day"),
    )
    for pause, cost in trace:
        clock.now += pause
        truth = check(store, "p", limits, cost, commit=False)
        recalled = recall(denials, "p", limits, cost)
        if recalled is not None:
            # Seconds are floats: the moment may be a microsecond off.
            clock_off = abs(recalled.now - truth.now)
            assert clock_off <= 1
            assert [(one.limit, one.allowed, one.used) for one in recalled.counted] == [
                (one.limit, one.allowed, one.used) for one in truth.counted
            ]
            for ours, theirs in zip(recalled.counted, truth.counted, strict=True):
                assert abs(ours.wait - theirs.wait) <= 1
                assert abs((ours.reset or 0) - (theirs.reset or 0)) <= 1
        decide(denials, store, POLICY, "p", limits, cost)


def test_a_denial_is_short_while_reserved_units_may_return(denials, store, clock):
    large = Limit(3, "large", "window", 1000, 60)
    decide(denials, store, POLICY, "p", (large,), 1000)
    assert decide(denials, store, POLICY, "p", (large,), 1).may_return
    clock.now += int(LONGEST_RESERVED * MICROSECONDS) - 1
    assert recall(denials, "p", (large,), 1) is not None
    clock.now += 1
    assert recall(denials, "p", (large,), 1) is None
    # The store says that nothing was reserved in the last second: it lives longer.
    clock.now += MICROSECONDS
    assert not decide(denials, store, POLICY, "p", (large,), 1).may_return
    clock.now += 2 * MICROSECONDS
    assert recall(denials, "p", (large,), 1) is not None
