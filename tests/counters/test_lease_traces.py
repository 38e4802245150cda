"""Leases of several processes that die, sleep and lose replies: never more than the amount.

``APIGUARD_LEASE_TRACES`` sets how many traces are tried; it is 200 by default. One in
ten runs on both counters, which must decide alike.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count

import pytest

from apiguard.counters import leases, memory, merged_log
from apiguard.counters.base import Counter, LimitCheck
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Decision
from tests.counters.lease_world import Trouble, World

TRACES = int(os.environ.get("APIGUARD_LEASE_TRACES", "200"))
AMOUNTS = (256, 300, 1000)
FRESH = count()


@pytest.fixture(autouse=True)
def nothing_expires(monkeypatch):
    monkeypatch.setattr(memory, "_SWEPT_PER_INSERTION", 0)


@pytest.fixture
def greedy(monkeypatch):
    """Leases of small amounts, of all that is left: what goes wrong shows more often."""
    for module in (leases, memory, merged_log):
        monkeypatch.setattr(module, "LEAST_LEASED_AMOUNT", 33)
    monkeypatch.setattr(merged_log, "LEASED_SHARE", 1)
    leases.may_lease.cache_clear()
    yield
    leases.may_lease.cache_clear()


class BothCounters:
    """Memory and Redis, which decide alike."""

    def __init__(self, *counters: Counter) -> None:
        self.counters = counters

    def check(self, check: LimitCheck) -> Decision:
        first, second = (counter.check(check) for counter in self.counters)
        assert first == second
        return first

    def reset(self, principal: str, limit_keys: Sequence[int | str]) -> int:
        first, second = (counter.reset(principal, limit_keys) for counter in self.counters)
        assert first == second
        return first


def traces_of(part: int) -> range:
    return range(max(1, TRACES // part))


def test_never_more_than_the_amount_is_admitted():
    spent = 0
    for seed in traces_of(2):
        world = World(seed, MemoryCounter, AMOUNTS, 700).run()
        assert world.excess() <= 0, f"seed {seed}"
        spent += world.spent
    assert spent > 0


def test_never_more_than_the_amount_is_admitted_by_greedy_leases(greedy):
    for seed in traces_of(2):
        world = World(10**6 + seed, MemoryCounter, (33, 40, 100, 300), 400).run()
        assert world.excess() <= 0, f"seed {seed}"


def test_both_counters_decide_alike(redis_client):
    for seed in traces_of(10):

        def make(clock):
            stored = RedisCounter(lambda: redis_client, f"w{next(FRESH)}", clock=clock)
            return BothCounters(MemoryCounter(clock), stored)

        assert World(2 * 10**6 + seed, make, AMOUNTS, 400).run().excess() <= 0, f"seed {seed}"


def test_a_reset_that_does_not_wait_for_leases_is_found_out(monkeypatch):
    """The traces can fail: what other processes have reserved is used after it."""

    def at_once(self, now):
        self.last, self.count = self.last[:0], self.count[:0]
        return 0

    monkeypatch.setattr(merged_log.MergedLog, "start_over", at_once)
    seeds, trouble = range(60), Trouble(resets=3)
    assert any(World(s, MemoryCounter, AMOUNTS, 700, trouble).run().excess() > 0 for s in seeds)


def test_a_lease_that_is_reckoned_from_the_reply_is_found_out(greedy, monkeypatch):
    """The traces can fail: with a lease that ends too late, some of them do."""
    begin = leases.Lease.__init__

    def later(self, begun, length, reply):
        begin(self, begun, length, reply)
        self.end += 2 * length

    monkeypatch.setattr(leases.Lease, "__init__", later)
    calm = Trouble(stops=3)
    seeds = range(60)
    assert any(World(s, MemoryCounter, (40, 100), 400, calm).run().excess() > 0 for s in seeds)
