"""Bad credentials, counted by address in this process's memory.

Beyond the limit a further bad credential is answered 429. What memory can
verify still passes, and at most one look-up a second is made for an address
that is over its limit: callers who share it with an attacker are not locked out.
"""

from __future__ import annotations

import time
from functools import lru_cache

from ..bounded_cache import BoundedCache
from ..conf import Settings
from ..counters.base import LimitCheck
from ..counters.memory import MemoryCounter
from ..rules.limits import Limit
from ..rules.rates import Rate

# Of so many addresses the failures are counted, about 2 KiB each; the next one
# takes the place of the one whose failures expire soonest.
MAX_ADDRESSES = 10_000
LOOK_UP_EVERY_SECONDS = 1.0


class FailedCredentials:
    """Counts failures; bounded, thread-safe."""

    def __init__(self, rate: Rate) -> None:
        self._limits = (
            Limit(
                pk=0,
                name="failed-credentials",
                kind="window",
                amount=rate.amount,
                period=rate.period or 60,
            ),
        )
        self._counter = MemoryCounter(max_tallies=MAX_ADDRESSES)
        self._looked_up: BoundedCache[str, float] = BoundedCache(MAX_ADDRESSES)
        # Of the last snapshot, and all that were forgotten: two snapshots may be in use at once.
        self._unlocked: tuple[tuple[int, str], ...] = ()
        self._forgotten: set[tuple[int, str]] = set()

    def forget_unlocked(self, unlocked: tuple[tuple[int, str], ...]) -> None:
        """Forget the failures of addresses that were unlocked since the last call.

        Args:
            unlocked: recent revisions and addresses; the same tuple while policy stays.
        """
        if unlocked is self._unlocked:
            return
        self._unlocked = unlocked
        for entry in set(unlocked) - self._forgotten:
            self._counter.reset(entry[1], [self._limits[0].pk])
        if len(self._forgotten) > MAX_ADDRESSES:
            self._forgotten = set()
        self._forgotten.update(unlocked)

    def count(self, address: str) -> int | None:
        """Count one failure; return the seconds to wait if that is more than the limit."""
        decision = self._counter.check(LimitCheck(address, self._limits, 1))
        return None if decision.allowed else decision.retry_after

    def wait(self, address: str) -> int | None:
        """Return what ``count`` would, without counting."""
        decision = self._counter.check(LimitCheck(address, self._limits, 1, commit=False))
        return None if decision.allowed else decision.retry_after

    def claim_look_up(self, address: str) -> bool:
        """Whether a key may be looked up for this address now; beyond the limit once a second."""
        if self.wait(address) is None:
            return True
        if not self._is_due(address):
            return False
        self._looked_up.put(address, time.monotonic())
        return True

    def may_look_up(self, address: str) -> bool:
        """Return what ``claim_look_up`` would, without claiming it."""
        return self.wait(address) is None or self._is_due(address)

    def _is_due(self, address: str) -> bool:
        last = self._looked_up.get(address)
        return last is None or time.monotonic() - last >= LOOK_UP_EVERY_SECONDS


@lru_cache(maxsize=8)
def _failures(rate: Rate) -> FailedCredentials:
    return FailedCredentials(rate)


def forget() -> None:
    """Count from nothing again; for tests."""
    _failures.cache_clear()


def failures(
    settings: Settings, unlocked: tuple[tuple[int, str], ...] = ()
) -> FailedCredentials | None:
    """Return the counter of this process, or ``None`` where failures are not counted.

    Args:
        unlocked: of the snapshot; the failures of these addresses are forgotten.
    """
    rate = settings.failed_credentials_limit
    if rate is None:
        return None
    counted = _failures(rate)
    counted.forget_unlocked(unlocked)
    return counted
