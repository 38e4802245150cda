"""Both counters in lockstep, against a log that forgets nothing.

A trace is any order of: requests of several principals at any cost, under one
to four limits (windows, quotas, shadows); clocks that run, jump ahead or are
set back; requests in flight that end; staff who raise or lower an amount, change a
period, make a limit a shadow, or count it from zero, while it is counted.

Four properties hold at every step. *Age* is measured as the store does: if the
clock reads less than at the newest admission of a limit, that admission is
taken to be now (two seconds ahead at most: so far ahead may a lease lie), and all earlier
ones earlier by the same difference, so that the distances between admissions are kept; none
is taken to be earlier than one before it. N and W are those in force at the
step; what was older than the W of an admission is let go by it for good, also
where W grows later.

1. An admission leaves at most N cost units of an age less than W.
2. A refusal names a limit that would hold more than N units of an age less than
   W+V/32, where V is the longest period that this limit ever had. V/32 is 0 for
   a limit whose amount was never more than 32. (Only where staff lengthened a
   period so often that the log was full does the log hold units longer.)
3. Both counters say the same, to the microsecond.
4. Who waits for exactly ``retry_after`` seconds is admitted if nobody else used
   the quota; one second less would not have been enough.

``APIGUARD_EXAMPLES`` multiplies how many traces are tried: 60.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from apiguard.counters import memory
from apiguard.counters.base import GiveBack, LimitCheck, hash_principal, key_for
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.merged_log import (
    LONGEST_LEASE,
    MAX_ENTRIES,
    B,
    MergedLog,
    calendar_bounds,
)
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import MICROSECONDS, Decision, Limit
from tests.examples import examples

START = 1_790_000_000_123_456
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PRINCIPALS = ("client:1", "user:2")
PERIODS = (1, 10, 60, 64, 3600, 31 * 86400)
TRACES = count()

AMOUNTS = st.one_of(st.integers(1, 8), st.integers(B - 1, B + 3), st.integers(40, 120))
SHADOW = st.sampled_from([False, False, False, True])
LIMITS = st.one_of(
    st.builds(
        Limit,
        pk=st.just(0),
        name=st.just("window"),
        kind=st.just("window"),
        amount=AMOUNTS,
        period=st.sampled_from(PERIODS),
        shadow=SHADOW,
    ),
    st.builds(
        Limit,
        pk=st.just(0),
        name=st.just("quota"),
        kind=st.just("quota"),
        amount=AMOUNTS,
        period=st.just(0),
        calendar=st.sampled_from(["day", "month"]),
        shadow=SHADOW,
    ),
    st.builds(
        Limit,
        pk=st.just(0),
        name=st.just("at-once"),
        kind=st.just("concurrent"),
        amount=st.integers(1, 8),
        period=st.sampled_from(PERIODS),
        shadow=SHADOW,
        unit=st.just("concurrent-requests"),
    ),
)


@dataclass
class Past:
    """All that one limit ever admitted of one principal: (moment, units), oldest first."""

    admitted: list[tuple[int, int]] = field(default_factory=list)
    # What a period let go stays forgotten, also under a longer one.
    forgotten: int = 0
    full: bool = False
    is_reset: bool = False

    def look(self, now: int) -> None:
        """Be as old as the store takes it to be."""
        latest = now + LONGEST_LEASE
        if self.admitted and self.admitted[-1][0] > latest:
            step = self.admitted[-1][0] - latest
            self.admitted = [(moment - step, units) for moment, units in self.admitted]
        if self.is_reset and (not self.admitted or self.admitted[-1][0] <= now):
            self.admitted, self.forgotten, self.is_reset = [], 0, False

    def admit(self, now: int, units: int, length: int) -> None:
        newest = self.admitted[-1][0] if self.admitted else now
        self.admitted.append((max(now, newest), units))
        while self.admitted[self.forgotten][0] <= now - length:
            self.forgotten += 1

    def surely(self, now: int, length: int) -> int:
        """Units that must be held."""
        held = self.admitted[self.forgotten :]
        return sum(units for moment, units in held if moment > now - length)

    def perhaps(self, now: int, length: int) -> int:
        """Units that may be held."""
        return sum(units for moment, units in self.admitted if moment > now - length)


@dataclass
class Unit:
    """What one quota admitted of one principal in its calendar unit."""

    begin: datetime = EPOCH
    used: int = 0
    # When it counted last; and whether it counts from zero from its begin on.
    until: datetime = EPOCH
    is_reset: bool = False

    def reset(self, now: int) -> None:
        moment = EPOCH + timedelta(microseconds=now)
        latest = moment + timedelta(microseconds=LONGEST_LEASE)
        self.begin = max(moment, min(self.until, latest))
        self.is_reset = self.begin > moment
        if not self.is_reset:
            self.used = 0

    def look(self, now: int, calendar: str) -> None:
        moment = EPOCH + timedelta(microseconds=now)
        if self.is_reset:
            self.begin = min(self.begin, moment + timedelta(microseconds=LONGEST_LEASE))
            if moment >= self.begin:
                self.used, self.is_reset = 0, False
        # A clock that stepped back over midnight: the unit that had begun goes on.
        if moment < self.begin <= moment + timedelta(days=1):
            moment = self.begin
        begin = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        begin = begin if calendar == "day" else begin.replace(day=1)
        if begin > self.begin:
            self.used = 0
        # A reset within the period stays.
        _, end = calendar_bounds((begin - EPOCH) // timedelta(microseconds=1), calendar)
        if not begin <= self.begin < EPOCH + timedelta(microseconds=end):
            self.begin = begin


@dataclass
class Flight:
    """What is in flight of one principal at one limit: admitted at, and ends at the latest at."""

    slots: list[tuple[int, int]] = field(default_factory=list)

    def look(self, now: int, length: int) -> None:
        # If the clock was set back, none ends later than one that begins now.
        self.slots = [(at, min(end, now + length)) for at, end in self.slots if end > now]


class Lockstep(RuleBasedStateMachine):
    def __init__(self, client: Redis) -> None:
        super().__init__()
        self.now, self.trace = START, next(TRACES)
        self.memory = MemoryCounter(lambda: self.now)
        self.redis = RedisCounter(lambda: client, f"trace-{self.trace}", clock=lambda: self.now)
        self.pasts: dict[tuple[str, int], Past] = {}
        self.units: dict[tuple[str, int], Unit] = {}
        self.flights: dict[tuple[str, int], Flight] = {}

    @initialize(limits=st.lists(LIMITS, min_size=1, max_size=4))
    def tier(self, limits: list[Limit]) -> None:
        self.limits = [replace(limit, pk=pk) for pk, limit in enumerate(limits)]
        self.longest = [limit.period for limit in limits]
        self.largest = [limit.amount for limit in limits]

    # Time -------------------------------------------------------------------

    @rule(share=st.integers(0, 70), of=st.sampled_from(PERIODS), off=st.integers(-1, 1))
    def some_time_passes(self, share: int, of: int, off: int) -> None:
        self.now += max(0, of * MICROSECONDS * share // (2 * B) + off)

    @rule(principal=st.sampled_from(PRINCIPALS), which=st.integers(0, 3), off=st.integers(-1, 1))
    def the_oldest_units_return(self, principal: str, which: int, off: int) -> None:
        decision = self.both(principal, 1, commit=False)
        self.now += max(0, (decision.counted[which % len(self.limits)].reset or 0) + off)

    @rule(seconds=st.one_of(st.integers(1, 120), st.integers(1, 40 * 86400)))
    def the_clock_jumps_ahead(self, seconds: int) -> None:
        self.now += seconds * MICROSECONDS

    @rule(microseconds=st.one_of(st.integers(1, 10**8), st.integers(1, 10**12)))
    def the_clock_is_set_back(self, microseconds: int) -> None:
        self.now -= microseconds

    # Staff ------------------------------------------------------------------

    @rule(which=st.integers(0, 3), amount=AMOUNTS)
    def an_amount_is_changed(self, which: int, amount: int) -> None:
        which %= len(self.limits)
        self.limits[which] = replace(self.limits[which], amount=amount)
        self.largest[which] = max(self.largest[which], amount)

    @rule(which=st.integers(0, 3), period=st.sampled_from(PERIODS))
    def a_period_is_changed(self, which: int, period: int) -> None:
        which %= len(self.limits)
        if self.limits[which].kind == "window":
            self.limits[which] = replace(self.limits[which], period=period)
            self.longest[which] = max(self.longest[which], period)

    @rule(which=st.integers(0, 3))
    def a_limit_becomes_a_shadow_or_real(self, which: int) -> None:
        which %= len(self.limits)
        self.limits[which] = replace(self.limits[which], shadow=not self.limits[which].shadow)

    @rule(principal=st.sampled_from(PRINCIPALS), which=st.integers(0, 3))
    def a_limit_is_counted_from_zero(self, principal: str, which: int) -> None:
        limit = self.limits[which % len(self.limits)]
        wait = self.memory.reset(principal, [limit.key])
        assert self.redis.reset(principal, [limit.key]) == wait  # 3
        assert 0 <= wait <= LONGEST_LEASE
        counted = (principal, limit.pk)
        self.flights.pop(counted, None)
        if counted in self.pasts:
            self.pasts[counted].is_reset = wait > 0
            if not wait:
                self.pasts[counted] = Past(full=self.pasts[counted].full)
        if counted in self.units and self.units[counted].until > EPOCH:
            self.units[counted].reset(self.now)
        if not wait:
            assert self.redis.read(principal, (limit,)).counted[0].used == 0

    # Requests ---------------------------------------------------------------

    @rule(
        principal=st.sampled_from(PRINCIPALS),
        cost=st.integers(1, 9),
        times=st.integers(1, 12),
        pause=st.one_of(st.integers(0, 3), st.integers(0, 3 * MICROSECONDS)),
        dearer=st.integers(0, 2),
    )
    def requests_come(self, principal: str, cost: int, times: int, pause: int, dearer: int) -> None:
        for turn in range(times):
            self.request(principal, cost + dearer * (turn % 3))
            self.now += pause

    @rule(
        principal=st.sampled_from(PRINCIPALS),
        which=st.integers(0, 3),
        times=st.integers(2, 50),
        share=st.integers(1, 8),
    )
    def a_window_fills_evenly(self, principal: str, which: int, times: int, share: int) -> None:
        limit = self.limits[which % len(self.limits)]
        for _ in range(times):
            self.request(principal, max(1, limit.amount * share // (8 * B)))
            self.now += limit.period * MICROSECONDS * share // (8 * B)

    @rule(principal=st.sampled_from(PRINCIPALS), cost=st.integers(1, 150))
    def one_request_comes(self, principal: str, cost: int) -> None:
        self.request(principal, cost)

    @rule(principal=st.sampled_from(PRINCIPALS), cost=st.integers(1, 150))
    def one_request_is_only_judged(self, principal: str, cost: int) -> None:
        self.both(principal, cost, commit=False)

    @rule(principal=st.sampled_from(PRINCIPALS), which=st.integers(0, 3), of=st.integers(0, 7))
    def a_request_ends(self, principal: str, which: int, of: int) -> None:
        limit = self.limits[which % len(self.limits)]
        flight = self.flights.get((principal, limit.pk))
        if limit.kind != "concurrent" or flight is None or not flight.slots:
            return
        flight.look(self.now, limit.period * MICROSECONDS)
        if not flight.slots:
            return
        at, end = flight.slots[of % len(flight.slots)]
        back = (GiveBack(at, self.now - at, 1),)
        one = LimitCheck(principal, (limit,), 0, given_back=back)
        assert self.redis.check(one) == self.memory.check(one)
        # After a clock was set back a slot may not be found, and then ends by itself.
        if end == at + limit.period * MICROSECONDS:
            flight.slots.remove((at, end))

    def both(self, principal: str, cost: int, *, commit: bool) -> Decision:
        costs = tuple(1 if limit.kind == "concurrent" else cost for limit in self.limits)
        one = LimitCheck(principal, tuple(self.limits), cost, commit, costs=costs)
        decision = self.memory.check(one)
        assert self.redis.check(one) == decision  # 3
        return decision

    def request(self, principal: str, cost: int) -> None:
        decision = self.both(principal, cost, commit=True)
        fits = [_HOLDS[limit.kind](self, decision, principal, cost, limit) for limit in self.limits]
        real = [fit for fit, limit in zip(fits, self.limits, strict=True) if not limit.shadow]
        assert decision.allowed == all(real)
        if not decision.allowed:
            self.waiting_helps(decision, principal, cost)

    def window_holds(self, decision: Decision, principal: str, cost: int, limit: Limit) -> bool:
        past = self.pasts.setdefault((principal, limit.pk), Past())
        past.look(self.now)
        length = limit.period * MICROSECONDS
        slack = self.longest[limit.pk] * MICROSECONDS // B if self.largest[limit.pk] > B else 0
        fits = decision.counted[limit.pk].allowed
        if fits and decision.allowed:
            past.admit(self.now, cost, length)
            assert past.surely(self.now, length) <= limit.amount  # 1
            past.full |= self.entries(principal, limit.pk) >= MAX_ENTRIES
        elif not fits and not past.full:
            assert past.perhaps(self.now, length + slack) + cost > limit.amount  # 2
        return fits

    def quota_holds(self, decision: Decision, principal: str, cost: int, limit: Limit) -> bool:
        unit = self.units.setdefault((principal, limit.pk), Unit())
        seen = replace(unit)
        seen.look(self.now, limit.calendar)
        counted = decision.counted[limit.pk]
        assert counted.allowed == (seen.used + cost <= limit.amount)
        is_counted = counted.allowed and decision.allowed
        if is_counted:
            seen.used += cost
            seen.until = max(seen.until, EPOCH + timedelta(microseconds=self.now))
        assert counted.used == seen.used
        if is_counted or seen.begin < unit.begin or seen.is_reset != unit.is_reset:
            self.units[principal, limit.pk] = seen
        return counted.allowed

    def slot_holds(self, decision: Decision, principal: str, cost: int, limit: Limit) -> bool:
        flight = self.flights.setdefault((principal, limit.pk), Flight())
        length = limit.period * MICROSECONDS
        seen = Flight(list(flight.slots))
        seen.look(self.now, length)
        fits = decision.counted[limit.pk].allowed
        assert fits == (len(seen.slots) < limit.amount)
        if fits and decision.allowed:
            seen.slots.append((self.now, self.now + length))
        # A decision that is refused is written only where the clock was set back.
        is_set_back = any(end > self.now + length for _, end in flight.slots)
        if (fits and decision.allowed) or is_set_back:
            self.flights[principal, limit.pk] = seen
        return fits

    def waiting_helps(self, decision: Decision, principal: str, cost: int) -> None:
        if any(cost > one.limit.amount for one in decision.violated):
            return
        # When a request in flight will end is not known.
        if any(one.limit.kind == "concurrent" for one in decision.violated):
            return
        came, told = self.now, decision.retry_after * MICROSECONDS
        self.now = came + told
        assert self.both(principal, cost, commit=False).allowed  # 4
        self.now = came + told - MICROSECONDS
        assert not self.both(principal, cost, commit=False).allowed
        self.now = came

    def entries(self, principal: str, pk: int) -> int:
        tally = self.memory._held[key_for("", hash_principal(principal), pk)].tally
        assert isinstance(tally, MergedLog)
        assert len(tally.last) <= MAX_ENTRIES
        return len(tally.last)


_HOLDS = {
    "window": Lockstep.window_holds,
    "quota": Lockstep.quota_holds,
    "concurrent": Lockstep.slot_holds,
}


@pytest.mark.slow
def test_both_counters_keep_all_that_is_promised(redis_client, monkeypatch):
    # Redis expires keys on its own clock, which the trace does not move; so
    # memory keeps everything, too.
    monkeypatch.setattr(memory, "_SWEPT_PER_INSERTION", 0)
    run_state_machine_as_test(
        lambda: Lockstep(redis_client),
        settings=settings(
            max_examples=examples(60),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
