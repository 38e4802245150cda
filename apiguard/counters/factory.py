"""The counter that the settings name, with what this process remembers of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from ..concurrency import CircuitBreaker
from ..rules.limits import Decision
from .base import Counter, LimitCheck
from .connect import connector
from .denials import Denials
from .faults import Fault, FaultLog
from .memory import MemoryCounter
from .redis import RedisCounter
from .resilient import ResilientCounter


class Listener(Protocol):
    """Learns what becomes of the store; quick, and never raises."""

    def record_change(self, away: bool) -> None:
        """The store went away, or came back."""
        ...

    def record_fault(self, fault: Fault) -> None:
        """A request was decided without the store, although that is not away."""
        ...


class PolicyCounter:
    """A counter, and the denials of it that still hold.

    Args:
        denials: ``None`` where the counter is this process's memory, which is
            as fast as they are.
    """

    __slots__ = ("_counter", "_denials")

    def __init__(self, counter: Counter, denials: Denials | None = None) -> None:
        self._counter = counter
        self._denials = denials

    def recall(self, policy: object, check: LimitCheck) -> Decision | None:
        """Return the remembered denial of this check, if any; waits for nothing."""
        return None if self._denials is None else self._denials.recall(policy, check)

    def check(self, policy: object, check: LimitCheck) -> Decision:
        """Check all limits of a principal under this state of all policy.

        Raises:
            CounterUnavailable: the limits could not be counted, and one is ``closed``.
        """
        if self._denials is None:
            return self._counter.check(check)
        return self._denials.check(self._counter, policy, check)


@lru_cache(maxsize=8)
def counter_for(name: str, prefix: str, listener: Listener) -> PolicyCounter:
    """Return this process's counter for the settings ``COUNTER`` and ``COUNTER_PREFIX``."""
    if name == "memory":
        return PolicyCounter(MemoryCounter())
    denials = Denials()

    def on_change(away: bool) -> None:
        # What was denied by the one count is not denied by the other.
        denials.clear()
        listener.record_change(away)

    store = ResilientCounter(
        RedisCounter(connector(name), prefix),
        MemoryCounter(),
        CircuitBreaker(on_change),
        FaultLog(listener.record_fault),
    )
    return PolicyCounter(store, denials)


def forget_counters() -> None:
    """Drop this process's counters, and with them what was counted in memory; for tests."""
    counter_for.cache_clear()
