"""Checks in one line."""

from __future__ import annotations

from collections.abc import Iterable

from apiguard.counters.base import Counter, LimitCheck
from apiguard.rules.limits import Decision, Limit


def check(
    counter: Counter, principal: str, limits: Iterable[Limit], cost: int, *, commit: bool = True
) -> Decision:
    """Have the counter check ``cost`` units of ``principal`` against these limits."""
    return counter.check(LimitCheck(principal, tuple(limits), cost, commit))
