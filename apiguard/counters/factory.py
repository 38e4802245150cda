"""The counter that the settings name, with what this process remembers of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol
from weakref import WeakSet

from ..concurrency import CircuitBreaker
from .base import Counter
from .breaker import Fault, FaultLog, ResilientCounter
from .connection import connector
from .denials import Denials, PolicyCounter
from .leases import LeasingCounter
from .memory import MemoryCounter
from .redis import RedisCounter
from .reporting import Report, ReportingCounter, ReportingDenials, ReportingLeases, Source


class Listener(Protocol):
    """Learns what becomes of the store; quick, and never raises."""

    def record_change(self, away: bool) -> None:
        """The store went away, or came back."""
        ...

    def record_fault(self, fault: Fault) -> None:
        """A request was decided without the store, although that is not away."""
        ...


# Those that exist: their threads would give units back after the counters are forgotten.
_leasing_counters: WeakSet[LeasingCounter] = WeakSet()


@lru_cache(maxsize=8)
def counter_for(
    name: str, prefix: str, listener: Listener, leases: bool = True, report: Report | None = None
) -> PolicyCounter:
    """Return this process's counter for the settings that say where and how it counts.

    Args:
        report: learns where decisions are made, for metrics.
    """
    memory = _reporting(MemoryCounter(), "memory", report)
    if name == "memory":
        return PolicyCounter(memory)
    denials = Denials() if report is None else ReportingDenials(report)

    def on_change(away: bool) -> None:
        # What was denied by the one count is not denied by the other.
        denials.clear()
        if leasing is not None and not away:
            # A store that was restarted does not hold what was reserved in it.
            leasing.forget_all()
        listener.record_change(away)

    store = ResilientCounter(
        _reporting(RedisCounter(connector(name), prefix), "redis", report),
        memory,
        CircuitBreaker(on_change),
        FaultLog(listener.record_fault),
    )
    leasing = _leasing(store, report) if leases else None
    return PolicyCounter(store, denials, leasing)


def _reporting(counter: Counter, source: Source, report: Report | None) -> Counter:
    return counter if report is None else ReportingCounter(counter, source, report)


def _leasing(store: Counter, report: Report | None) -> LeasingCounter:
    leasing = LeasingCounter(store) if report is None else ReportingLeases(store, report)
    _leasing_counters.add(leasing)
    return leasing


def forget_counters() -> None:
    """Drop this process's counters, what they counted in memory, and their leases; for tests."""
    counter_for.cache_clear()
    for leasing in list(_leasing_counters):
        leasing.forget_all()
