"""What every counter must do, held against both and against an exact log."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiguard.counters.base import Counter, GiveBack, LimitCheck
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import MICROSECONDS, Limit
from tests.counters.checking import check
from tests.examples import examples

START = 1_790_000_000_123_456
SECOND = MICROSECONDS
B = 32  # promised: refuses only what would exceed the amount within W + W/32
FRESH = count()


@dataclass
class Clock:
    now: int = START

    def __call__(self) -> int:
        return self.now

    def advance(self, microseconds: int) -> None:
        self.now += microseconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "redis"])
def counter(request, clock) -> Counter:
    if request.param == "memory":
        return MemoryCounter(clock)
    client = request.getfixturevalue("redis_client")
    return RedisCounter(lambda: client, "test", clock=clock)


def window(amount: int, period: int = 60, **more) -> Limit:
    return Limit(more.pop("pk", 1), "window", "window", amount, period, **more)


def at_once(amount: int, period: int = 600, **more) -> Limit:
    unit = "concurrent-requests"
    return Limit(more.pop("pk", 3), "at-once", "concurrent", amount, period, unit=unit, **more)


def quota(amount: int, calendar: str = "day", **more) -> Limit:
    return Limit(more.pop("pk", 2), "quota", "quota", amount, 0, calendar, **more)


def epoch(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * SECOND


# One window -----------------------------------------------------------------


def test_admits_the_amount_and_not_one_more(counter, clock):
    limit = window(5)
    assert [check(counter, "p", [limit], 1).allowed for _ in range(7)] == [True] * 5 + [False] * 2


def test_counts_cost_units_and_not_requests(counter):
    limit = window(10)
    assert check(counter, "p", [limit], 7).counted[0].remaining == 3
    assert not check(counter, "p", [limit], 4).allowed
    assert check(counter, "p", [limit], 3).counted[0].remaining == 0


def test_tells_the_wait_to_the_microsecond(counter, clock):
    limit = window(2)
    check(counter, "p", [limit], 1)
    clock.advance(10 * SECOND)
    check(counter, "p", [limit], 1)
    clock.advance(7)
    wait = check(counter, "p", [limit], 1).counted[0].wait
    assert wait == 50 * SECOND - 7
    clock.advance(wait - 1)
    assert not check(counter, "p", [limit], 1).allowed
    clock.advance(1)
    assert check(counter, "p", [limit], 1).allowed


def test_waits_for_as_many_entries_as_the_cost_needs(counter, clock):
    limit = window(3)
    for _ in range(3):
        check(counter, "p", [limit], 1)
        clock.advance(SECOND)
    assert check(counter, "p", [limit], 2).counted[0].wait == 58 * SECOND


def test_a_cost_that_never_fits_waits_the_whole_window(counter):
    decision = check(counter, "p", [window(3)], 4)
    assert (decision.allowed, decision.counted[0].wait) == (False, 60 * SECOND)
    assert decision.counted[0].reset is None


def test_a_denied_request_consumes_nothing(counter, clock):
    limit = window(2)
    check(counter, "p", [limit], 2)
    for _ in range(5):
        clock.advance(SECOND)
        assert check(counter, "p", [limit], 1).counted[0].used == 2
    clock.advance(55 * SECOND)
    assert check(counter, "p", [limit], 2).allowed


def test_reset_is_when_the_oldest_units_return(counter, clock):
    limit = window(3)
    assert check(counter, "p", [limit], 1).counted[0].reset == 60 * SECOND
    clock.advance(20 * SECOND)
    assert check(counter, "p", [limit], 1).counted[0].reset == 40 * SECOND


def test_principals_and_limits_are_counted_apart(counter):
    limit = window(1)
    assert check(counter, "a", [limit], 1).allowed
    assert check(counter, "b", [limit], 1).allowed
    assert check(counter, "a", [replace(limit, pk=9)], 1).allowed
    assert not check(counter, "a", [limit], 1).allowed


def test_principals_may_be_any_text(counter):
    for principal in ("", "jwt:1:\ud800", "é{}:" * 50):
        assert check(counter, principal, [window(1)], 1).allowed


def test_decides_without_limits(counter):
    decision = check(counter, "p", [], 1)
    assert decision.allowed
    assert decision.counted == ()


def test_an_amount_that_was_changed_applies_at_once(counter):
    check(counter, "p", [window(5)], 5)
    lowered = check(counter, "p", [window(3)], 1).counted[0]
    assert (lowered.allowed, lowered.used, lowered.remaining) == (False, 5, 0)
    assert check(counter, "p", [window(6)], 1).allowed


def test_a_period_that_was_changed_keeps_what_it_still_covers(counter, clock):
    check(counter, "p", [window(2, 60)], 1)
    clock.advance(20 * SECOND)
    check(counter, "p", [window(2, 60)], 1)
    clock.advance(SECOND)
    assert check(counter, "p", [window(3, 10)], 1, commit=False).counted[0].used == 1 + 1
    assert check(counter, "p", [window(3, 3600)], 1, commit=False).counted[0].used == 2 + 1


def test_a_period_that_grows_again_and_again_keeps_both_counters_alike(redis_client, clock):
    memory = MemoryCounter(clock)
    stored = RedisCounter(lambda: redis_client, "test", clock=clock)
    most = 0
    for period in (60, 3600, 86400, 31 * 86400):
        for _ in range(3 * B // 4):
            clock.advance(period * SECOND // B + 1)
            decision = check(memory, "p", [window(10**6, period)], 1)
            assert check(stored, "p", [window(10**6, period)], 1) == decision
            most = max(most, decision.counted[0].used)
    assert most > 2 * B


def test_a_limit_that_becomes_a_quota_starts_anew(counter):
    check(counter, "p", [window(2, pk=5)], 2)
    assert check(counter, "p", [quota(2, pk=5)], 2).allowed
    assert check(counter, "p", [window(2, pk=5)], 2).allowed


def test_judging_without_counting_changes_nothing(counter):
    limits = [window(2), quota(3)]
    check(counter, "p", limits, 1)
    for _ in range(5):
        judged = check(counter, "p", limits, 1, commit=False)
        assert (judged.allowed, [one.used for one in judged.counted]) == (True, [2, 2])
    assert not check(counter, "p", limits, 2, commit=False).allowed
    assert check(counter, "p", limits, 1).allowed


@settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    trace=st.lists(
        st.tuples(st.integers(-SECOND, 20 * SECOND), st.integers(1, 40)), min_size=1, max_size=40
    )
)
def test_a_check_that_is_not_committed_answers_as_if_it_were(redis_client, trace):
    clock, principal = Clock(), f"dry:{next(FRESH)}"
    limits = [window(100), quota(300), window(40, 10, pk=3, shadow=True)]
    stored = RedisCounter(lambda: redis_client, "test", clock=clock)
    for counter in (MemoryCounter(clock), stored):
        for step, cost in trace:
            clock.advance(step)
            answered = [check(counter, principal, limits, cost, commit=False) for _ in range(2)]
            assert answered == [check(counter, principal, limits, cost)] * 2


def test_a_clock_that_steps_back_neither_blocks_nor_forgets(counter, clock):
    limit = window(3)
    check(counter, "p", [limit], 1)
    clock.advance(10 * SECOND)
    check(counter, "p", [limit], 2)
    clock.advance(-7200 * SECOND)
    denied = check(counter, "p", [limit], 1).counted[0]
    # A lease may lie two seconds ahead, so that the newest entry is left there.
    assert (denied.allowed, denied.used, denied.wait) == (False, 3, 52 * SECOND)
    clock.advance(20 * SECOND)
    assert check(counter, "p", [limit], 1).counted[0].wait == 32 * SECOND
    clock.advance(32 * SECOND)
    assert check(counter, "p", [limit], 1).allowed


def test_entries_stay_few_however_many_requests_come(counter, clock):
    limit = window(10**6)
    for _ in range(500):
        check(counter, "p", [limit], 1)
        clock.advance(SECOND // 4)
    # 60 s hold 240 requests; merging keeps at most one share of W/B more.
    assert 240 <= check(counter, "p", [limit], 1).counted[0].used <= 240 + 240 // B + 1


# Several limits -------------------------------------------------------------


def test_one_limit_that_refuses_spares_the_others(counter):
    limits = [window(10, pk=1), window(1, pk=2), quota(10, pk=3)]
    assert check(counter, "p", limits, 1).allowed
    denied = check(counter, "p", limits, 1)
    assert [one.allowed for one in denied.counted] == [True, False, True]
    assert [one.used for one in denied.counted] == [1, 1, 1]
    assert [one.limit.pk for one in denied.violated] == [2]


def test_a_shadow_limit_never_refuses_and_counts_only_what_it_would_admit(counter):
    limits = [window(5, pk=1), window(2, pk=2, shadow=True)]
    decisions = [check(counter, "p", limits, 1) for _ in range(6)]
    assert [one.allowed for one in decisions] == [True] * 5 + [False]
    assert [one.counted[1].used for one in decisions] == [1, 2, 2, 2, 2, 2]
    assert [one.counted[1].allowed for one in decisions] == [True] * 2 + [False] * 4


def test_a_shadow_limit_does_not_count_what_another_refused(counter):
    limits = [window(1, pk=1), window(9, pk=2, shadow=True)]
    check(counter, "p", limits, 1)
    assert check(counter, "p", limits, 1).counted[1].used == 1


# Calendar quotas ------------------------------------------------------------


@pytest.mark.parametrize(
    ("calendar", "now", "end"),
    [
        pytest.param("day", (2026, 3, 1, 0, 0, 0), (2026, 3, 2), id="first second of a day"),
        pytest.param("day", (2026, 12, 31, 23, 59, 59), (2027, 1, 1), id="last second of a year"),
        pytest.param("month", (2026, 1, 31, 12), (2026, 2, 1), id="january"),
        pytest.param("month", (2026, 2, 28, 23, 59, 59), (2026, 3, 1), id="common february"),
        pytest.param("month", (2028, 2, 29), (2028, 3, 1), id="leap february"),
        pytest.param("month", (2100, 2, 28, 5), (2100, 3, 1), id="2100 is no leap year"),
        pytest.param("month", (2000, 2, 29, 5), (2000, 3, 1), id="2000 is one"),
        pytest.param("month", (2026, 12, 1), (2027, 1, 1), id="december"),
    ],
)
def test_a_quota_ends_with_its_utc_calendar_unit(counter, clock, calendar, now, end):
    clock.now = epoch(*now)
    limit = quota(2, calendar)
    left = epoch(*end) - clock.now
    assert check(counter, "p", [limit], 2).counted[0].reset == left
    assert check(counter, "p", [limit], 1).counted[0].wait == left
    clock.advance(left - 1)
    assert not check(counter, "p", [limit], 1).allowed
    clock.advance(1)
    assert check(counter, "p", [limit], 2).allowed


def test_a_quota_costs_more_than_it_has_until_the_end(counter, clock):
    clock.now = epoch(2026, 5, 5, 23)
    decision = check(counter, "p", [quota(2)], 3)
    assert decision.counted[0].wait == 3600 * SECOND
    assert decision.counted[0].reset is None


def test_a_quota_survives_a_clock_that_steps_into_the_last_day(counter, clock):
    clock.now = epoch(2026, 5, 5) + 5
    check(counter, "p", [quota(2)], 2)
    clock.advance(-10)
    assert check(counter, "p", [quota(2)], 1).counted[0].used == 2
    clock.advance(10)
    assert not check(counter, "p", [quota(2)], 1).allowed


@pytest.mark.parametrize("calendar", ["day", "month"])
@pytest.mark.parametrize("step", [10, 3600 * SECOND, 24 * 3600 * SECOND])
def test_a_quota_is_granted_once_although_the_clock_steps_back_over_midnight_and_forward_again(
    counter, clock, calendar, step
):
    limit = quota(5, calendar)
    clock.now = epoch(2026, 5, 1)
    end = epoch(2026, 5, 2) if calendar == "day" else epoch(2026, 6, 1)
    assert check(counter, "p", [limit], 3).allowed
    clock.advance(-step)
    assert check(counter, "p", [limit], 1).counted[0].used == 4
    denied = check(counter, "p", [limit], 2).counted[0]
    assert (denied.wait, denied.reset) == (end - clock.now, end - clock.now)
    clock.advance(step)
    assert [check(counter, "p", [limit], 1).allowed for _ in range(3)] == [True, False, False]
    clock.now = end - 1
    assert not check(counter, "p", [limit], 1).allowed
    clock.advance(1)
    assert check(counter, "p", [limit], 5).allowed


def test_a_clock_that_was_a_year_ahead_does_not_hold_a_quota_back_for_a_year(counter, clock):
    limit = quota(2)
    clock.now = epoch(2027, 5, 5)
    check(counter, "p", [limit], 2)
    clock.now = epoch(2026, 5, 5)
    assert check(counter, "p", [limit], 1).counted[0].wait == 24 * 3600 * SECOND
    clock.now = epoch(2026, 5, 6)
    assert check(counter, "p", [limit], 2).allowed


# Against an exact log -------------------------------------------------------


@dataclass
class ExactLog:
    """Every admitted unit with its time: what the merged log approximates."""

    admitted: list[tuple[int, int]]

    def units(self, now: int, length: int) -> int:
        return sum(cost for moment, cost in self.admitted if now - length < moment)


PERIOD = 64
WINDOW = PERIOD * SECOND

EDGES = (0, 1, WINDOW // B - 1, WINDOW // B, WINDOW // B + 1, WINDOW - 1, WINDOW)


def steps(seed: int, amount: int) -> Iterator[tuple[int, int]]:
    """150 (pause, cost) pairs that ask for about half as much again as the amount allows."""
    dice = random.Random(seed)
    dearest = dice.choice((1, 2, max(1, amount // 9)))
    pause = WINDOW * (dearest + 1) // (3 * amount)
    for _ in range(150):
        edge = dice.random() < 0.03
        yield dice.choice(EDGES) if edge else dice.randint(0, 2 * pause), dice.randint(1, dearest)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32), amount=st.one_of(st.integers(1, B), st.integers(B + 1, 300)))
def test_both_counters_agree_and_keep_both_bounds(redis_client, seed, amount):
    clock = Clock()
    memory, principal = MemoryCounter(clock), f"trace:{next(FRESH)}"
    stored = RedisCounter(lambda: redis_client, "test", clock=clock)
    limits = [window(amount, PERIOD), quota(10**6, "month"), window(40, 10, pk=3, shadow=True)]
    exact = ExactLog([])
    for pause, cost in steps(seed, amount):
        clock.advance(pause)
        decision = check(memory, principal, limits, cost)
        assert check(stored, principal, limits, cost) == decision
        if decision.allowed:
            exact.admitted.append((clock.now, cost))
            assert exact.units(clock.now, WINDOW) <= amount
        else:
            slack = 0 if amount <= B else WINDOW // B
            assert exact.units(clock.now, WINDOW + slack) + cost > amount


@settings(
    max_examples=examples(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    trace=st.lists(
        st.tuples(st.integers(-WINDOW, WINDOW), st.integers(1, 50), st.booleans()), max_size=60
    )
)
def test_both_counters_agree_also_on_a_clock_that_jumps(redis_client, trace):
    clock = Clock()
    counters: list[Counter] = [
        MemoryCounter(clock),
        RedisCounter(lambda: redis_client, "test", clock=clock),
    ]
    principal = f"jump:{next(FRESH)}"
    limits = [window(100, PERIOD), quota(300), quota(10**6, "month", pk=3, shadow=True)]
    for step, cost, commit in trace:
        clock.advance(step)
        ours, theirs = (check(one, principal, limits, cost, commit=commit) for one in counters)
        assert ours == theirs


@pytest.mark.parametrize("amount", [1, B, B + 1, 100, 10_000])
def test_a_client_that_waits_for_retry_after_is_admitted(counter, clock, amount):
    limit, costs = window(amount), (1, max(1, amount // 7), amount)
    for turn in range(200):
        clock.advance((turn * 7919) % (2 * SECOND))
        decision = check(counter, "p", [limit], costs[turn % 3])
        if not decision.allowed:
            clock.advance(decision.retry_after * SECOND)
            assert check(counter, "p", [limit], costs[turn % 3]).allowed


# What people read and reset ----------------------------------------------------


def test_reading_says_what_is_used_and_counts_nothing(counter, clock):
    limits = [window(5), quota(9)]
    check(counter, "p", limits, 3)
    clock.advance(SECOND)
    for _reading in range(3):
        decision = counter.read("p", tuple(limits))
        assert [one.used for one in decision.counted] == [3, 3]
    assert [one.used for one in counter.read("q", tuple(limits)).counted] == [0, 0]
    assert [one.used for one in check(counter, "p", limits, 1).counted] == [4, 4]


def test_reading_says_when_more_is_used_than_the_amount_has_become(counter):
    check(counter, "p", [window(5)], 4)
    (one,) = counter.read("p", (window(2),)).counted
    assert (one.used, one.remaining) == (4, 0)


def test_a_reset_counts_one_limit_of_one_principal_from_zero(counter):
    limits = (window(5), quota(9))
    for principal in ("p", "q"):
        check(counter, principal, limits, 5)
    counter.reset("p", [limits[0].pk])
    assert [one.used for one in counter.read("p", limits).counted] == [0, 5]
    assert [one.used for one in counter.read("q", limits).counted] == [5, 5]
    assert [check(counter, "p", limits, 1).allowed for _ in range(5)] == [True] * 4 + [False]


def test_a_reset_counts_a_quota_from_zero_and_knows_nothing_of_others(counter):
    check(counter, "p", [quota(3)], 3)
    counter.reset("p", [quota(3).pk, 99])
    assert check(counter, "p", [quota(3)], 3).allowed


# Reservations -----------------------------------------------------------------

AHEAD = SECOND


def reserve(counter, limits, cost: int, units: int, ahead: int = AHEAD, principal: str = "p"):
    return counter.check(LimitCheck(principal, tuple(limits), cost, reserve=units, ahead=ahead))


def give_back(counter, limits, *given_back: GiveBack) -> None:
    counter.check(LimitCheck("p", tuple(limits), 0, given_back=given_back))


def used(counter, limit: Limit) -> int:
    return check(counter, "p", [limit], 1, commit=False).counted[0].used - 1


def test_a_reservation_is_counted_and_the_reply_shows_the_request_alone(counter):
    decision = reserve(counter, [window(1000)], 3, 5)
    assert (decision.allowed, decision.reserved) == (True, 5)
    assert decision.counted[0].used == 3
    assert used(counter, window(1000)) == 8


@pytest.mark.parametrize(
    ("limits", "granted"),
    [
        pytest.param([window(1601)], 100, id="a sixteenth of what is left"),
        pytest.param([window(1601), quota(801)], 50, id="of the limit that has least"),
        pytest.param([window(1601), quota(801, shadow=True)], 50, id="a shadow limit included"),
        pytest.param([window(256)], 15, id="the least amount"),
        pytest.param([window(255)], 0, id="a small amount"),
        pytest.param([window(1601), quota(255)], 0, id="a small amount among others"),
    ],
)
def test_how_much_is_reserved(counter, limits, granted):
    assert reserve(counter, limits, 1, 10**6).reserved == granted


def test_a_reservation_stands_at_its_end(counter, clock):
    limit = window(256, 60)
    assert reserve(counter, [limit], 1, 15).reserved == 15
    clock.advance(60 * SECOND)
    assert used(counter, limit) == 16
    clock.advance(AHEAD - 1)
    assert used(counter, limit) == 16
    clock.advance(1)
    assert used(counter, limit) == 0


def test_nothing_is_reserved_where_the_request_is_denied_or_only_judged(counter):
    limit = window(300)
    check(counter, "p", [limit], 299)
    assert reserve(counter, [limit], 2, 5).reserved == 0
    assert used(counter, limit) == 299
    judged = LimitCheck("q", (limit,), 1, commit=False, reserve=5, ahead=AHEAD)
    assert counter.check(judged).reserved == 0


@pytest.mark.parametrize("calendar", ["day", "month"])
def test_nothing_is_reserved_beyond_the_end_of_a_calendar_period(counter, clock, calendar):
    clock.now = epoch(2026, 5, 1) - AHEAD
    limits = [window(1000), quota(1000, calendar)]
    assert reserve(counter, limits, 1, 5).reserved == 0
    clock.advance(-1)
    assert reserve(counter, limits, 1, 5).reserved == 5


def test_what_was_not_used_is_given_back(counter, clock):
    limits = [window(1000), quota(1000)]
    place = reserve(counter, limits, 1, 50).now + AHEAD
    clock.advance(AHEAD)
    give_back(counter, limits, GiveBack(place, 0, 20))
    assert [used(counter, limit) for limit in limits] == [31, 31]


def test_what_a_denied_request_gives_back_is_given_back(counter, clock):
    limits = [window(1000)]
    place = reserve(counter, limits, 100, 50).now + AHEAD
    check(counter, "p", limits, 850)
    denied = LimitCheck("p", tuple(limits), 50, given_back=(GiveBack(place, -AHEAD, 49),))
    assert not counter.check(denied).allowed
    assert used(counter, limits[0]) == 951
    assert counter.check(denied._replace(cost=49, given_back=())).allowed


def test_units_are_taken_from_where_they_stand_or_from_older_ones_and_never_from_newer(
    counter, clock
):
    limit = window(1000, 64)
    for units in (10, 20, 40):
        check(counter, "p", [limit], units)
        clock.advance(3 * SECOND)
    # Three seconds apart: three entries, of which the second is meant.
    give_back(counter, [limit], GiveBack(START + 3 * SECOND, 3 * SECOND, 25))
    assert used(counter, limit) == 45
    # The five that are left are the oldest ones: they leave first.
    clock.now = START + 64 * SECOND
    assert used(counter, limit) == 40


def test_an_age_says_that_a_clock_was_set_back(counter, clock):
    limit = window(1000)
    check(counter, "p", [limit], 10)
    clock.advance(3 * SECOND)
    check(counter, "p", [limit], 20)
    # On a clock that stepped back since, the place is one that is in use by others.
    give_back(counter, [limit], GiveBack(clock.now, 3 * SECOND, 15))
    assert used(counter, limit) == 20


def test_what_has_left_the_window_is_not_given_back(counter, clock):
    limit = window(1000, 10)
    place = reserve(counter, [limit], 1, 50).now + AHEAD
    clock.advance(AHEAD + 10 * SECOND)
    check(counter, "p", [limit], 60)
    give_back(counter, [limit], GiveBack(place, 0, 50))
    assert used(counter, limit) == 60


@pytest.mark.parametrize("amount", [3, 300])
def test_what_is_given_back_at_once_can_be_counted_and_given_back_again(counter, clock, amount):
    """The place is earlier than the unit: how long its check took is not known to the caller."""
    limit = window(amount)
    for kept in range(3):
        for _ in range(4):
            place = check(counter, "p", [limit], 1).now
            give_back(counter, [limit], GiveBack(place, SECOND // 20, 1))
            assert used(counter, limit) == kept
        assert check(counter, "p", [limit], 1).allowed
        clock.advance(SECOND)


@pytest.mark.parametrize("calendar", ["day", "month"])
def test_a_quota_takes_back_only_what_its_period_counted(counter, clock, calendar):
    clock.now = epoch(2026, 5, 1) - 10 * SECOND
    limit = quota(1000, calendar)
    place = reserve(counter, [limit], 1, 50).now + AHEAD
    clock.advance(10 * SECOND)
    check(counter, "p", [limit], 60)
    give_back(counter, [limit], GiveBack(place, 0, 50))
    assert used(counter, limit) == 60


def test_a_later_request_does_not_age_what_lies_ahead(counter, clock):
    limit = window(256, 1)
    reserve(counter, [limit], 1, 15, SECOND // 32)
    clock.advance(1)
    check(counter, "p", [limit], 1)
    clock.advance(SECOND)
    # One microsecond after the request left the window the lease is still in it.
    assert used(counter, limit) == 17


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(window(300), True, id="a window of which units may be reserved"),
        pytest.param(quota(300), True, id="a quota"),
        pytest.param(window(255), False, id="a small amount"),
    ],
)
def test_a_denial_says_whether_reserved_units_may_return(counter, clock, limit, expected):
    check(counter, "p", [limit], limit.amount)
    assert check(counter, "p", [limit], 1).may_return is expected
    clock.advance(SECOND)
    if limit.kind == "window":
        assert check(counter, "p", [limit], 1).may_return is False


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    trace=st.lists(
        st.tuples(
            st.one_of(st.integers(0, SECOND), st.integers(-3 * SECOND, WINDOW)),
            st.integers(0, 50),
            st.integers(0, 60),
            st.sampled_from([False] * 9 + [True]),
            st.lists(
                st.builds(
                    GiveBack,
                    st.integers(START - SECOND, START + WINDOW),
                    st.integers(-2 * SECOND, WINDOW),
                    st.integers(0, 40),
                ),
                max_size=2,
            ),
        ),
        max_size=40,
    )
)
def test_both_counters_reserve_and_take_back_alike(redis_client, trace):
    clock, principal = Clock(), f"leases:{next(FRESH)}"
    counters: list[Counter] = [
        MemoryCounter(clock),
        RedisCounter(lambda: redis_client, "test", clock=clock),
    ]
    limits = (window(300, PERIOD), window(2000, 5, pk=3, shadow=True), quota(900))
    for step, cost, units, is_reset, given_back in trace:
        clock.advance(step)
        if is_reset:
            waits = [each.reset(principal, [limit.key for limit in limits]) for each in counters]
            assert waits[0] == waits[1]
        one = LimitCheck(principal, limits, cost, True, units, 2 * SECOND, tuple(given_back))
        ours, theirs = (counter.check(one) for counter in counters)
        assert ours == theirs


def test_a_reset_takes_effect_when_the_last_lease_has_ended(counter, clock):
    """What processes reserved before may be used until then; nobody can tell how much of it."""
    limits = [window(900), quota(900)]
    for units in (30, 20):
        reserve(counter, limits, 1, units)
        clock.advance(AHEAD // 4)
    assert counter.reset("p", [limit.pk for limit in limits]) == AHEAD * 3 // 4
    assert [used(counter, limit) for limit in limits] == [52, 52]
    assert reserve(counter, limits, 1, 30).reserved == 0
    refused = check(counter, "p", limits, 900)
    assert (refused.counted[0].wait, refused.counted[1].wait) == (AHEAD * 3 // 4,) * 2
    assert [one.reset for one in refused.counted] == [AHEAD * 3 // 4] * 2
    clock.advance(AHEAD * 3 // 4 - 1)
    assert [used(counter, limit) for limit in limits] == [53, 53]
    clock.advance(1)
    assert [used(counter, limit) for limit in limits] == [0, 0]
    admitted = check(counter, "p", limits, 900)
    assert admitted.allowed
    assert admitted.counted[0].reset == 60 * SECOND


def test_a_reset_counts_small_amounts_from_zero_although_units_lie_ahead(counter, clock):
    """The amount was larger when they were reserved, and entries of small amounts never merge."""
    reserve(counter, [window(1000)], 1, 8)
    counter.reset("p", [window(20).pk])
    for _ in range(5):
        clock.advance(AHEAD // 8)
        assert check(counter, "p", [window(20)], 1).allowed
    clock.advance(AHEAD)
    assert used(counter, window(20)) == 0


def test_what_was_counted_before_a_reset_is_not_given_back_after_it(counter, clock):
    limits = [window(1000), quota(1000)]
    first = reserve(counter, limits, 1, 50)
    clock.advance(AHEAD)
    counter.reset("p", [limit.pk for limit in limits])
    check(counter, "p", limits, 60)
    for place in (first.now, first.now + AHEAD):
        give_back(counter, limits, GiveBack(place, 0, 20))
    assert [used(counter, limit) for limit in limits] == [60, 60]
    clock.advance(SECOND)
    place = reserve(counter, limits, 1, 50).now + AHEAD
    give_back(counter, limits, GiveBack(place, -AHEAD, 20))
    assert [used(counter, limit) for limit in limits] == [91, 91]


@pytest.mark.parametrize("step", [SECOND // 2, 100 * SECOND])
def test_a_reset_takes_effect_within_two_seconds_although_the_clock_is_set_back(
    counter, clock, step
):
    limits = [window(1000), quota(900)]
    reserve(counter, limits, 1, 30)
    counter.reset("p", [limit.pk for limit in limits])
    clock.advance(-step)
    check(counter, "p", limits, 1)
    clock.advance(2 * SECOND)
    assert [used(counter, limit) for limit in limits] == [0, 0]


def test_a_reset_of_requests_in_flight_frees_their_places_at_once(counter, clock):
    limit = at_once(2)
    first, _second = admit(counter, limit), admit(counter, limit)
    assert counter.reset("p", [limit.pk]) == 0
    assert in_flight(counter, limit) == 0
    clock.advance(SECOND)
    assert admit(counter, limit).allowed
    # The place of a request that was admitted before is no one's any more.
    release(counter, clock, limit, first.now)
    assert in_flight(counter, limit) == 1


# Units that are settled, and requests in flight ----------------------------------


def admit(counter, limit: Limit, principal: str = "p"):
    return counter.check(LimitCheck(principal, (limit,), 1))


def release(counter, clock, limit: Limit, admitted_at: int, principal: str = "p") -> None:
    back = GiveBack(admitted_at, clock.now - admitted_at, 1)
    counter.check(LimitCheck(principal, (limit,), 0, given_back=(back,)))


def in_flight(counter, limit: Limit) -> int:
    return counter.read("p", (limit,)).counted[0].used


def test_each_limit_may_have_a_cost_of_its_own_all_or_nothing(counter):
    limits = (window(10), window(1000, pk=2, unit="tokens"))
    first = counter.check(LimitCheck("p", limits, 1, costs=(1, 600)))
    assert [one.used for one in first.counted] == [1, 600]
    refused = counter.check(LimitCheck("p", limits, 1, costs=(1, 600)))
    assert [one.limit.pk for one in refused.violated] == [2]
    assert [one.used for one in counter.read("p", limits).counted] == [1, 600]


@pytest.mark.parametrize("limit", [window(100, unit="tokens"), quota(100, unit="tokens")])
def test_what_is_owed_is_counted_whether_it_fits_or_not(counter, clock, limit):
    check(counter, "p", [limit], 60)
    owed = counter.check(LimitCheck("p", (limit,), 90, is_owed=True))
    assert (owed.allowed, owed.counted[0].used, owed.counted[0].remaining) == (True, 150, 0)
    assert not check(counter, "p", [limit], 1).allowed
    # A number of four bytes is never exceeded.
    for _ in range(6):
        owed = counter.check(LimitCheck("p", (limit,), 10**9, is_owed=True))
    assert owed.counted[0].used == 4 * 10**9


def test_an_overrun_leaves_the_window_like_any_other_unit(counter, clock):
    limit = window(100, unit="tokens")
    counter.check(LimitCheck("p", (limit,), 250, is_owed=True))
    assert check(counter, "p", [limit], 1).counted[0].wait == 60 * SECOND
    clock.advance(60 * SECOND)
    assert check(counter, "p", [limit], 100).allowed


def test_so_many_requests_are_in_flight_and_not_one_more(counter, clock):
    limit = at_once(2)
    assert [admit(counter, limit).allowed for _ in range(3)] == [True, True, False]
    refused = admit(counter, limit)
    assert (refused.retry_after, refused.counted[0].used, refused.counted[0].reset) == (1, 2, None)
    assert admit(counter, limit, "q").allowed


def test_a_request_that_has_ended_makes_room_for_one(counter, clock):
    limit = at_once(2)
    first = admit(counter, limit).now
    clock.advance(SECOND)
    admit(counter, limit)
    release(counter, clock, limit, first)
    assert [admit(counter, limit).allowed for _ in range(2)] == [True, False]


def test_a_request_frees_its_own_place_and_once(counter, clock):
    limit = at_once(3)
    first = admit(counter, limit).now
    clock.advance(1)
    admit(counter, limit)
    for _ in range(3):
        release(counter, clock, limit, first)
    release(counter, clock, limit, first + 2)
    assert in_flight(counter, limit) == 1


def test_a_place_that_nobody_frees_ends_with_the_period(counter, clock):
    limit = at_once(1, 10)
    admit(counter, limit)
    clock.advance(10 * SECOND - 1)
    assert not admit(counter, limit).allowed
    clock.advance(1)
    assert admit(counter, limit).allowed


def test_a_clock_that_steps_back_holds_a_place_no_longer_than_the_period(counter, clock):
    limit = at_once(2, 10)
    admit(counter, limit)
    admit(counter, limit)
    clock.advance(-3600 * SECOND)
    assert not admit(counter, limit).allowed
    clock.advance(10 * SECOND)
    assert [admit(counter, limit).allowed for _ in range(3)] == [True, True, False]


def test_a_place_is_not_taken_where_another_limit_refuses(counter):
    limits = (at_once(5), window(1))
    counter.check(LimitCheck("p", limits, 1))
    assert not counter.check(LimitCheck("p", limits, 1)).allowed
    assert in_flight(counter, limits[0]) == 1


def test_a_limit_that_changes_its_kind_to_requests_in_flight_starts_anew(counter):
    check(counter, "p", [window(2, pk=3)], 2)
    assert admit(counter, at_once(2)).counted[0].used == 1
    assert check(counter, "p", [window(2, pk=3)], 2).allowed


def test_routes_are_counted_apart_where_a_limit_says_so(counter):
    here, there = (window(1, per_route=True, route_pk=pk) for pk in (7, 8))
    assert check(counter, "p", [here], 1).allowed
    assert check(counter, "p", [there], 1).allowed
    assert not check(counter, "p", [here], 1).allowed
    counter.reset("p", [here.key])
    assert check(counter, "p", [here], 1).allowed
    assert not check(counter, "p", [there], 1).allowed


MOMENTS = st.one_of(st.integers(0, 3 * SECOND), st.integers(-SECOND, WINDOW))


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    trace=st.lists(
        st.tuples(
            MOMENTS, st.integers(0, 3), st.integers(0, 400), st.booleans(), st.integers(0, 9)
        ),
        max_size=60,
    )
)
def test_both_counters_settle_and_free_places_alike(redis_client, trace):
    clock, principal = Clock(), f"settled:{next(FRESH)}"
    counters: list[Counter] = [
        MemoryCounter(clock),
        RedisCounter(lambda: redis_client, "test", clock=clock),
    ]
    limits = (window(300, PERIOD, unit="tokens"), at_once(4, PERIOD), quota(900, unit="tokens"))
    moments = [clock.now]
    for step, slots, units, is_owed, ended in trace:
        clock.advance(step)
        back = GiveBack(moments[ended % len(moments)], 0, units % 3)
        one = LimitCheck(principal, limits, 1, given_back=(back,), costs=(units, slots, units))
        ours, theirs = (counter.check(one._replace(is_owed=is_owed)) for counter in counters)
        assert ours == theirs
        moments.append(ours.now)
