"""A counter in this process's memory, for one process or for while Redis is away.

Exact per process: N processes admit up to N times the amount. It is bounded:
beyond ``max_tallies`` the one that would expire soonest is dropped first.
Safe to call from several threads.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from ..rules.limits import Decision, Limit
from .base import LimitCheck, decision_of, hash_principal, key_for
from .merged_log import (
    LEAST_LEASED_AMOUNT,
    MOST_USED,
    Tally,
    largest_lease,
    new_tally,
)

# More than one per insertion, so that expired tallies shrink; bounded, so that
# no single decision pays for all of them.
_SWEPT_PER_INSERTION = 4


class _Skipped:
    """What ``skip`` has added to the clock of this process's counters."""

    microseconds = 0


def epoch_microseconds() -> int:
    """Return the wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1000 + _Skipped.microseconds


def skip(seconds: float | None) -> None:
    """Move the clock of the counters forward; ``None``: back to the time of day. For tests."""
    added = 0 if seconds is None else round(seconds * 1_000_000)
    _Skipped.microseconds = added and _Skipped.microseconds + added


@dataclass(slots=True)
class _Held:
    tally: Tally
    expires: int


class MemoryCounter:
    """Counts in memory; see ``Counter``.

    Args:
        clock: microseconds since the epoch.
        max_tallies: how many limits of principals are held at most.
    """

    def __init__(
        self, clock: Callable[[], int] = epoch_microseconds, *, max_tallies: int = 100_000
    ) -> None:
        self._clock = clock
        self._max_tallies = max(1, max_tallies)
        self._held: dict[str, _Held] = {}
        # (expiry when it was pushed, key): one per held tally, expiries may be outdated.
        self._queue: list[tuple[int, str]] = []
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()
            self._queue.clear()

    def read(self, principal: str, limits: tuple[Limit, ...]) -> Decision:
        """As ``Counter.read``; it never raises."""
        return self.check(LimitCheck(principal, limits, 0, commit=False))

    def reset(self, principal: str, limit_keys: Sequence[int | str]) -> int:
        """As ``Counter.reset``; it never raises."""
        principal_hash = hash_principal(principal)
        with self._lock:
            now = self._clock()
            keys = [key_for("", principal_hash, limit_key) for limit_key in limit_keys]
            held = [self._held[key].tally for key in keys if key in self._held]
            return max((tally.start_over(now) for tally in held), default=0)

    def check(self, check: LimitCheck) -> Decision:
        """As ``Counter.check``; it never raises."""
        limits, costs = check.limits, check.all_costs
        principal_hash = hash_principal(check.principal)
        keys = [key_for("", principal_hash, limit.key) for limit in limits]
        with self._lock:
            now = self._clock()
            tallies = [self._tally(key, limit) for key, limit in zip(keys, limits, strict=True)]
            pairs = list(zip(tallies, limits, strict=True))
            changed = [_bring_up_to_date(tally, now, limit, check) for tally, limit in pairs]
            waits = [
                0 if check.is_owed else tally.wait(now, limit, cost)
                for (tally, limit), cost in zip(pairs, costs, strict=True)
            ]
            allowed = all(
                wait == 0 or limit.shadow for wait, limit in zip(waits, limits, strict=True)
            )
            may_return = not allowed and _may_return(now, pairs, waits)
            for i, (tally, limit) in enumerate(pairs):
                # Without commit the copy alone is changed: the decision is the same.
                if allowed and waits[i] == 0 and costs[i]:
                    tally.add(now, limit, min(costs[i], MOST_USED - tally.used))
                    changed[i] = True
            used = [tally.used for tally in tallies]
            reserved = _reserve(now, pairs, check) if allowed else 0
            rows = [
                (limit, wait == 0, units, wait, tally.reset(now, limit))
                for (tally, limit), wait, units in zip(pairs, waits, used, strict=True)
            ]
            for i, (tally, limit) in enumerate(pairs):
                if check.commit and changed[i]:
                    self._hold(keys[i], tally, tally.expires(limit), now)
        return decision_of(now, rows, allowed=allowed, reserved=reserved, may_return=may_return)

    def _tally(self, key: str, limit: Limit) -> Tally:
        """Return a copy of what is held: what is not counted must change nothing."""
        held = self._held.get(key)
        tally = new_tally(limit)
        # A limit that changed its kind starts anew.
        if held is not None and type(held.tally) is type(tally):
            return held.tally.copy()
        return tally

    def _hold(self, key: str, tally: Tally, expires: int, now: int) -> None:
        held = self._held.get(key)
        if held is not None:
            held.tally, held.expires = tally, expires
            return
        self._sweep(now)
        self._held[key] = _Held(tally, expires)
        heapq.heappush(self._queue, (expires, key))

    def _sweep(self, now: int) -> None:
        """Drop a few that expired; and, while there is no room, the soonest to expire."""
        for _ in range(_SWEPT_PER_INSERTION):
            full = len(self._held) >= self._max_tallies
            if not self._queue or not (full or self._queue[0][0] <= now):
                return
            noted, key = self._queue[0]
            actual = self._held[key].expires
            if actual > noted:
                heapq.heapreplace(self._queue, (actual, key))
            else:
                self._drop_first()
        if len(self._held) >= self._max_tallies:
            self._drop_first()

    def _drop_first(self) -> None:
        _, key = heapq.heappop(self._queue)
        del self._held[key]


def _bring_up_to_date(tally: Tally, now: int, limit: Limit, check: LimitCheck) -> bool:
    """Forget what has passed and take what is given back; whether it must be kept at all events."""
    changed = tally.settle(now, limit)
    for place, age, units in check.given_back:
        changed |= tally.give_back(now, limit, place, age, units)
    return changed


def _reserve(now: int, pairs: list[tuple[Tally, Limit]], check: LimitCheck) -> int:
    """Count ahead as much of what the check wants as may be reserved."""
    place = now + check.ahead
    if not (check.reserve and check.commit and check.cost):
        return 0
    if not all(tally.may_reserve(now, place, limit) for tally, limit in pairs):
        return 0
    left = [limit.amount - tally.used for tally, limit in pairs]
    units = largest_lease(check.limits, left, check.reserve)
    if units:
        for tally, limit in pairs:
            tally.add(place, limit, units)
    return units


def _may_return(now: int, pairs: list[tuple[Tally, Limit]], waits: list[int]) -> bool:
    if any(limit.amount < LEAST_LEASED_AMOUNT for _, limit in pairs):
        return False
    return any(
        wait and tally.may_return(now) for (tally, _), wait in zip(pairs, waits, strict=True)
    )
