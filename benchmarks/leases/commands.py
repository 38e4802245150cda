"""Redis commands that a request needs, at steady rates, counted on a clock that is played."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count
from typing import Any

from apiguard.counters.base import Counter, LimitCheck
from apiguard.counters.denials import Denials, PolicyCounter
from apiguard.counters.leases import SWEEP_SECONDS, LeasingCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import MICROSECONDS, Decision, Limit
from benchmarks.leases.worker import PRINCIPAL
from benchmarks.limits.limiters import connect
from benchmarks.tables import Table, progress, say

_prefixes = count()


class Counted:
    """A counter, and how often it was used."""

    def __init__(self, counter: Counter) -> None:
        self._counter, self.commands = counter, 0

    def check(self, check: LimitCheck) -> Decision:
        self.commands += 1
        return self._counter.check(check)

    def read(self, principal: str, limits: tuple[Limit, ...]) -> Decision:
        return self._counter.read(principal, limits)

    def reset(self, principal: str, limit_keys: Sequence[int | str]) -> int:
        return self._counter.reset(principal, limit_keys)


def commands_per_request(
    client: Any, limit: Limit, rate: float, workers: int, seconds: float
) -> float:
    """Poisson requests to random workers, on a clock that runs as fast as Redis answers."""
    dice, now = random.Random(7), [1_790_000_000 * MICROSECONDS]  # noqa: S311 - no secret
    prefix = f"steady-{next(_prefixes)}"
    store = Counted(RedisCounter(lambda: client, prefix, clock=lambda: now[0]))
    leases = [LeasingCounter(store, lambda: now[0]) for _ in range(workers)]
    for each in leases:
        each._start_sweeping = lambda: None  # type: ignore[method-assign]
    counters = [
        PolicyCounter(store, Denials(lambda: now[0] / MICROSECONDS), each) for each in leases
    ]
    begun = now[0] + limit.period * MICROSECONDS
    end, sweep, requests = begun + int(seconds * MICROSECONDS), now[0], 0
    check = LimitCheck(PRINCIPAL, (limit,), 1)
    while now[0] < end:
        moment = now[0] + int(dice.expovariate(rate) * MICROSECONDS)
        while sweep < moment:
            sweep += int(SWEEP_SECONDS * MICROSECONDS)
            now[0] = max(now[0], min(sweep, moment))
            for each in leases:
                each.give_back_unused()
        now[0] = moment
        dice.choice(counters).check(None, check)
        requests += 1
        if now[0] < begun:
            requests = store.commands = 0
    return store.commands / requests


# What the design expects, to be met within 0.05.
EXPECTED = {
    (10_000, 60, 100, 4): 0.08,
    (1_000, 60, 14, 1): 0.12,
    (1_000, 60, 14, 4): 0.32,
    (1_000, 60, 14, 8): 0.60,
    **{(100, 60, 1, workers): 1.0 for workers in (1, 4, 8)},
    **{(1_000, 60, 1, workers): 1.0 for workers in (4, 8)},
}


def commands(url: str, seconds: float) -> None:
    rows = []
    per_minute = [Limit(1, f"{n:,} per minute", "window", n, 60) for n in (100, 1_000, 10_000)]
    per_day = Limit(2, "50,000 per day", "quota", 50_000, 0, "day")
    with connect(url) as client:
        for limit in (*per_minute, per_day):
            for rate in (1, 14, 50, 100):
                progress(f"commands: {limit.name}, {rate}/s")
                row: list[Any] = [limit.name, rate]
                for workers in (1, 4, 8):
                    found = commands_per_request(client, limit, rate, workers, seconds)
                    expected = EXPECTED.get((limit.amount, limit.period, rate, workers))
                    row.append(f"{found:.2f}" + (f" ({expected})" if expected else ""))
                rows.append(row)
    note = (
        "Redis commands per request, those that give back included, after a first minute; in\n"
        "brackets, what is expected. Poisson requests of one caller, each to a random worker.\n"
        "Where more is sent than the limit admits, most refusals are remembered denials."
    )
    head = ["limit", "requests/s", "1 worker", "4 workers", "8 workers"]
    say("\n" + Table("Commands per request", note, head, rows).markdown())
