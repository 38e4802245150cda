"""Counters that report where each decision was made; used only where metrics are kept.

Checks that decide nothing are not reported: a peek, and units that are given back or owed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from ..rules.limits import Decision, Limit
from .base import Counter, LimitCheck, PoolExhausted, StoreFailed
from .denials import Denials
from .leases import LeasingCounter

# "memory": of this process. "denial": a remembered one.
Source = Literal["redis", "memory", "lease", "denial"]
FailureKind = Literal["store", "pool", "defect"]


class Report(Protocol):
    """Learns of decisions and failures; quick, and never raises."""

    def count_decision(self, source: Source) -> None:
        """A request was admitted or denied by this."""
        ...

    def count_failure(self, kind: FailureKind) -> None:
        """The store could not be used for a request."""
        ...


class ReportingCounter:
    """A counter whose decisions come from ``source``."""

    def __init__(self, counter: Counter, source: Source, report: Report) -> None:
        self._counter, self._source, self._report = counter, source, report

    def check(self, check: LimitCheck) -> Decision:
        """As ``Counter.check``."""
        try:
            decision = self._counter.check(check)
        except StoreFailed:
            self._report.count_failure("store")
            raise
        except PoolExhausted:
            self._report.count_failure("pool")
            raise
        except Exception:
            self._report.count_failure("defect")
            raise
        # Where all limits are open while the store is away, there is nothing to decide.
        if _is_counted(check) and check.limits:
            self._report.count_decision(self._source)
        return decision

    def read(self, principal: str, limits: tuple[Limit, ...]) -> Decision:
        """As ``Counter.read``."""
        return self._counter.read(principal, limits)

    def reset(self, principal: str, limit_keys: Sequence[int | str]) -> int:
        """As ``Counter.reset``."""
        return self._counter.reset(principal, limit_keys)


class ReportingDenials(Denials):
    """Denials that report when one of them answers."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def recall(self, policy: object, check: LimitCheck) -> Decision | None:
        """As ``Denials.recall``."""
        decision = super().recall(policy, check)
        if decision is not None and _is_counted(check):
            self._report.count_decision("denial")
        return decision


class ReportingLeases(LeasingCounter):
    """Leases that report when one of them admits a request."""

    def __init__(self, counter: Counter, report: Report) -> None:
        super().__init__(counter)
        self._report = report

    def spend(self, check: LimitCheck) -> Decision | None:
        """As ``LeasingCounter.spend``."""
        decision = super().spend(check)
        if decision is not None:
            self._report.count_decision("lease")
        return decision

    def spent_late(self) -> None:
        """As ``LeasingCounter.spent_late``."""
        self._report.count_decision("lease")


def _is_counted(check: LimitCheck) -> bool:
    return check.commit and check.cost > 0 and not check.is_owed
