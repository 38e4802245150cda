"""A busy caller's units are reserved ahead, spent here, and given back."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace

import pytest

from apiguard.counters import leases
from apiguard.counters.base import GiveBack, LimitCheck, StoreFailed
from apiguard.counters.denials import Denials, PolicyCounter
from apiguard.counters.leases import LeasingCounter, may_lease
from apiguard.counters.memory import MemoryCounter
from apiguard.rules.limits import Decision, Limit
from tests.counters.checking import check

SECOND = 1_000_000
START = 1_790_000_000_123_456
LIMIT = Limit(1, "window", "window", 1000, 60)
QUOTA = Limit(2, "quota", "quota", 50_000, 0, "day")
LENGTH = 60 * SECOND // 32


@dataclass
class Clock:
    now: int = START

    def __call__(self) -> int:
        return self.now


class Store:
    """A counter that keeps what it was sent, and may be away."""

    def __init__(self, clock: Clock) -> None:
        self.counter, self.is_away = MemoryCounter(clock), False
        self.sent: list[LimitCheck] = []

    def check(self, check: LimitCheck) -> Decision:
        self.sent.append(check)
        if self.is_away:
            raise StoreFailed("no answer")
        return self.counter.check(check)

    def read(self, principal: str, limits: tuple[Limit, ...]) -> Decision:
        return self.counter.read(principal, limits)

    def reset(self, principal: str, limit_pks: list[int]) -> None:
        self.counter.reset(principal, limit_pks)

    def used(self, limit: Limit = LIMIT, principal: str = "p") -> int:
        """Units that are counted, reserved ones included."""
        return check(self.counter, principal, [limit], 1, commit=False).counted[0].used - 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock) -> Store:
    return Store(clock)


@pytest.fixture
def counter(store, clock, monkeypatch) -> LeasingCounter:
    # The tests give back themselves; a test of the thread is below.
    monkeypatch.setattr(LeasingCounter, "_start_sweeping", lambda self: None)
    return LeasingCounter(store, clock)


def request(counter: LeasingCounter, times: int = 1, limits=(LIMIT,), cost: int = 1) -> Decision:
    for _ in range(times):
        decision = check(counter, "p", limits, cost)
    return decision


def test_the_third_request_within_two_seconds_reserves_what_was_used_in_them(counter, store):
    request(counter, 3)
    assert [one.reserve for one in store.sent] == [0, 0, 2]
    assert store.sent[2].ahead == LENGTH
    assert store.used() == 5


def test_requests_far_apart_reserve_nothing(counter, store, clock):
    for _ in range(6):
        request(counter)
        clock.now += SECOND
    assert [one.reserve for one in store.sent] == [0] * 6


def test_what_is_reserved_is_spent_without_the_store(counter, store):
    request(counter, 5)
    assert len(store.sent) == 3
    request(counter)
    # As many as were used in two seconds, also by the lease.
    assert store.sent[3].reserve == 5


def test_a_lease_is_good_while_the_store_is_away(counter, store):
    request(counter, 3)
    store.is_away = True
    assert request(counter, 2).allowed
    with pytest.raises(StoreFailed):
        request(counter)
    assert len(store.sent) == 4


def test_headers_show_the_last_reply_less_what_was_spent_since(counter, clock):
    granted = request(counter, 3, (LIMIT, QUOTA))
    clock.now += SECOND
    spent = [request(counter, 1, (LIMIT, QUOTA)) for _ in range(2)]
    assert [one.counted[0].remaining for one in (granted, *spent)] == [997, 996, 995]
    assert [one.counted[1].remaining for one in (granted, *spent)] == [49_997, 49_996, 49_995]
    assert spent[0].now == granted.now + SECOND
    assert [one.reset for one in spent[0].counted] == [
        one.reset - SECOND for one in granted.counted
    ]


def test_a_lease_ends(counter, store, clock):
    request(counter, 3)
    clock.now += LENGTH
    request(counter)
    assert len(store.sent) == 4


def test_the_end_of_a_lease_is_reckoned_from_before_the_check_was_sent(clock, monkeypatch):
    class Slow(Store):
        def check(self, check):
            decision = super().check(check)
            clock.now += SECOND
            return decision

    store = Slow(clock)
    counter = LeasingCounter(store, clock)
    monkeypatch.setattr(LeasingCounter, "_start_sweeping", lambda self: None)
    for _ in range(3):
        request(counter)
        clock.now -= SECOND
    clock.now += LENGTH - LENGTH // leases.DRIFT - 1
    request(counter)
    assert len(store.sent) == 3
    clock.now += 1
    request(counter)
    assert len(store.sent) == 4


def test_a_check_carries_back_the_rest_of_the_lease_that_it_replaces(counter, store, clock):
    request(counter, 4)
    assert store.used() == 5
    clock.now += LENGTH
    request(counter)
    ((place, age, units),) = store.sent[-1].given_back
    assert (place, units) == (START + LENGTH, 1)
    assert age == leases._TIMEOUT
    # One of five was not used; the request itself is counted, and what it reserved.
    assert store.used() == 4 + 1 + store.sent[-1].reserve


def test_a_request_that_costs_more_than_the_lease_holds_is_checked(counter, store):
    request(counter, 3)
    request(counter, cost=3)
    assert store.sent[-1].cost == 3
    assert [one.units for one in store.sent[-1].given_back] == [2]


def test_what_nobody_takes_along_is_given_back_within_a_second_after_the_end(counter, store, clock):
    request(counter, 3)
    clock.now += LENGTH
    counter.give_back_unused()
    assert len(store.sent) == 3
    clock.now += leases.GRACE
    counter.give_back_unused()
    assert [(one.cost, one.reserve) for one in store.sent[3:]] == [(0, 0)]
    assert store.used() == 3
    counter.give_back_unused()
    assert len(store.sent) == 4
    assert leases.GRACE + 2 * leases.SWEEP_SECONDS * SECOND <= 1.1 * SECOND


def test_what_could_not_be_given_back_is_not_sent_once_more(counter, store, clock):
    request(counter, 3)
    clock.now += LENGTH + leases.GRACE
    store.is_away = True
    counter.give_back_unused()
    store.is_away = False
    counter.give_back_unused()
    request(counter)
    assert [len(one.given_back) for one in store.sent] == [0, 0, 0, 1, 0]


def test_idle_callers_are_forgotten(counter, clock):
    request(counter, 3)
    clock.now += 4 * SECOND
    counter.give_back_unused()
    assert len(counter) == 0


def test_callers_are_few_at_all_events(store, clock):
    counter = LeasingCounter(store, clock, max_callers=10)
    for number in range(50):
        check(counter, f"caller:{number}", [LIMIT], 1)
    assert len(counter) == 10


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        pytest.param((LIMIT,), True, id="a window"),
        pytest.param((LIMIT, QUOTA), True, id="a window and a quota"),
        pytest.param((replace(LIMIT, amount=256),), True, id="the least amount"),
        pytest.param((replace(LIMIT, amount=255),), False, id="a small amount"),
        pytest.param((LIMIT, replace(QUOTA, amount=255)), False, id="a small amount among others"),
        pytest.param(
            (LIMIT, replace(QUOTA, on_store_failure="closed")), False, id="closed without the store"
        ),
        pytest.param((), False, id="no limit"),
    ],
)
def test_where_units_are_reserved(counter, store, limits, expected):
    assert may_lease(limits) is expected
    request(counter, 4, limits)
    assert any(one.reserve for one in store.sent) is expected


def test_other_limits_have_other_leases(counter, store):
    other = (LIMIT, QUOTA)
    request(counter, 3)
    request(counter, 1, other)
    assert len(store.sent) == 4
    request(counter, 2)
    assert len(store.sent) == 4


def test_a_limit_that_changed_drops_the_lease_and_gives_nothing_back(counter, store):
    request(counter, 3)
    request(counter, 1, (replace(LIMIT, amount=2000),))
    assert len(store.sent) == 4
    request(counter)
    assert len(store.sent) == 5
    assert not any(one.given_back for one in store.sent)


def test_a_reset_drops_the_lease_and_gives_nothing_back(counter, store, clock):
    here = PolicyCounter(store, Denials(), counter)
    request(counter, 3)
    here.reset("p", [LIMIT.pk])
    assert here.check_in_memory(None, LimitCheck("p", (LIMIT,), 1)) is None
    clock.now += LENGTH + leases.GRACE
    counter.give_back_unused()
    assert len(store.sent) == 3
    assert here.read("p", (LIMIT,)).counted[0].used == 0


def test_leases_of_a_store_that_may_have_lost_its_counts_are_not_given_back(counter, store, clock):
    request(counter, 3)
    counter.forget_all()
    clock.now += LENGTH + leases.GRACE
    counter.give_back_unused()
    request(counter)
    assert len(store.sent) == 4
    assert store.sent[3].given_back == ()


def test_what_others_give_back_goes_along(counter, store, clock):
    given_back = (GiveBack(START, 0, 2),)
    request(counter, 4)
    clock.now += LENGTH
    counter.check(LimitCheck("p", (LIMIT,), 1, given_back=given_back))
    assert [one.units for one in store.sent[-1].given_back] == [1, 2]
    counter.check(LimitCheck("p", (LIMIT,), 0, given_back=given_back))
    assert store.sent[-1] == LimitCheck("p", (LIMIT,), 0, given_back=given_back)


def test_a_check_that_counts_nothing_neither_takes_nor_spends_a_lease(counter, store):
    request(counter, 3)
    caller = counter._callers["p"][0]
    for _ in range(5):
        assert check(counter, "p", [LIMIT], 1, commit=False).allowed
    here = PolicyCounter(store, Denials(), counter)
    uncommitted = LimitCheck("p", (LIMIT,), 1, commit=False)
    assert here.check(None, uncommitted).reserved == 0
    assert here.check_in_memory(None, uncommitted) is None
    assert caller.lease.units == 2
    assert all(one.reserve == 0 for one in store.sent[3:])


def test_a_lease_is_used_although_a_denial_is_remembered(counter, store, clock):
    limits, policy = (LIMIT,), object()
    denials = Denials(lambda: clock.now / SECOND)
    here = PolicyCounter(store, denials, counter)
    for _ in range(3):
        here.check(policy, LimitCheck("p", limits, 1))
    check(store.counter, "p", limits, 995)
    assert not denials.check(store, policy, LimitCheck("p", limits, 1)).allowed
    assert here.check_in_memory(policy, LimitCheck("p", limits, 1)).allowed
    assert here.check(policy, LimitCheck("p", limits, 1)).allowed
    assert not here.check_in_memory(policy, LimitCheck("p", limits, 1)).allowed


def test_threads_reserve_once_and_spend_each_unit_once(clock):
    class Busy(Store):
        """Answers when all threads have sent their check."""

        gate = threading.Barrier(8)

        def check(self, check):
            self.gate.wait(10)
            return super().check(check)

    store = Busy(clock)
    counter = LeasingCounter(store, clock)
    counter._start_sweeping = lambda: None
    counter._counter = store.counter
    request(counter, 2)
    counter._counter = store
    threads = [threading.Thread(target=request, args=(counter,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(one.reserve > 0 for one in store.sent) == [False] * 7 + [True]
    granted = sum(one.reserve for one in store.sent)
    counter._counter = store.counter
    decisions = [counter.spend(LimitCheck("p", (LIMIT,), 1)) for _ in range(granted + 1)]
    assert [one is not None for one in decisions] == [True] * granted + [False]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_starts_without_leases(counter):
    request(counter, 3)
    child = os.fork()
    if not child:
        os._exit(len(counter))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(counter) == 1


def test_a_thread_gives_back_while_there_are_leases(store, monkeypatch):
    monkeypatch.setattr(leases, "SWEEP_SECONDS", 0.001)
    done = threading.Event()
    monkeypatch.setattr(LeasingCounter, "give_back_unused", lambda self: done.set() or self.stop())
    monkeypatch.setattr(LeasingCounter, "stop", lambda self: self._callers.clear(), raising=False)
    counter = LeasingCounter(store)
    request(counter, 3)
    assert done.wait(10)
