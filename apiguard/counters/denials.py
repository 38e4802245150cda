"""Denials that are still true: a client that hammers costs no round trip.

A remembered denial answers only the same principal at the same cost, under the
same policy and the same limits. A lower cost may fit and a higher one waits longer,
so that both go to the store. A remembered denial equals the store's answer if nobody
else used the quota since: its waits count down, and it is forgotten as soon as any
other number on it changes, the first unit that returns included. After ``LONGEST``
seconds it is forgotten at all events, so that a quota that was raised or reset
elsewhere, or a store that came back, is soon seen; after ``LONGEST_RESERVED`` where the
store says that units which others reserved may be given back, or where views settle
what is counted. No denial is remembered that a limit on requests in flight made.

That holds on clocks that run alike: this process's and the store's.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..rules.limits import MICROSECONDS, Counted, Decision, Limit
from .base import Counter, LimitCheck
from .leases import LeasingCounter

LONGEST = 5.0
LONGEST_RESERVED = 0.5
MAX_PRINCIPALS = 10_000
# Costs belong to routes; more of them than this cost round trips, and nothing else.
MAX_COSTS = 8


# The cost of a check, and those of each limit.
_Cost = tuple[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Denial:
    limits: tuple[Limit, ...]
    decision: Decision
    answered: float
    until: float


@dataclass(frozen=True, slots=True)
class _Table:
    """What was denied under one policy: to whom, oldest first, and at which costs."""

    policy: object
    denials: OrderedDict[str, dict[_Cost, _Denial]]


class Denials:
    """Bounded and thread-safe; reads take no lock.

    A policy is any object that stands for one state of all policy; it is
    compared by identity. Denials under another one are forgotten, so that an
    old policy is not kept alive. A decision that did not come through here does
    not exist for these denials.

    Args:
        clock: seconds, monotonic.
        max_principals: of how many they are held at most; the oldest go first.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, max_principals: int = MAX_PRINCIPALS
    ) -> None:
        self._clock = clock
        self._max_principals = max_principals
        self._lock = threading.Lock()
        self._table = _Table(None, OrderedDict())

    def __len__(self) -> int:
        return len(self._table.denials)

    def clear(self) -> None:
        """Forget everything: the numbers are elsewhere from now on."""
        with self._lock:
            self._table = _Table(None, OrderedDict())

    def check(self, counter: Counter, policy: object, check: LimitCheck) -> Decision:
        """Return the denial that is remembered, else what the counter decides, and remember that.

        Raises:
            CounterUnavailable: as the counter.
        """
        recalled = self.recall(policy, check)
        if recalled is not None:
            return recalled
        begun = self._clock()
        decision = counter.check(check)
        if check.commit:
            self.note(policy, check, begun, decision)
        return decision

    def recall(self, policy: object, check: LimitCheck) -> Decision | None:
        """Return the denial of this very check, as it reads by now; None if none holds."""
        table = self._table
        if table.policy is not policy:
            return None
        denial = table.denials.get(check.principal, {}).get((check.cost, check.costs))
        if denial is None or denial.limits != check.limits:
            return None
        now = self._clock()
        if now >= denial.until:
            return None
        elapsed = int((now - denial.answered) * MICROSECONDS)
        costs = dict(zip(check.limits, check.all_costs, strict=True))
        return _aged(denial.decision, costs, elapsed)

    def note(self, policy: object, check: LimitCheck, begun: float, decision: Decision) -> None:
        """Remember a denial; forget those of a principal that was admitted.

        Args:
            begun: when the check began, by the clock.
        """
        principal, limits, cost = check.principal, check.limits, (check.cost, check.costs)
        # A slot may become free at any moment.
        if decision.violated and not any(_is_slot(one) for one in decision.violated):
            # It is forgotten as if it were made when the check began, and its waits count
            # down as if it were made when the check ended: no client is refused too
            # long, and no Retry-After is too short.
            until = begun + _unchanged_for(decision)
            denial = _Denial(limits, decision, self._clock(), until)
            self._remember(policy, principal, cost, denial)
        elif principal in self._table.denials:
            self.forget(principal)

    def _remember(self, policy: object, principal: str, cost: _Cost, denial: _Denial) -> None:
        with self._lock:
            if self._table.policy is not policy:
                self._table = _Table(policy, OrderedDict())
            denials = self._table.denials
            others = denials.get(principal, {})
            # Readers take no lock: what they may hold is replaced, never changed.
            denials[principal] = (
                {**others, cost: denial} if len(others) < MAX_COSTS else {cost: denial}
            )
            denials.move_to_end(principal)
            if len(denials) > self._max_principals:
                denials.popitem(last=False)

    def forget(self, principal: str) -> None:
        """Forget the denials of a principal, whose numbers have changed."""
        with self._lock:
            self._table.denials.pop(principal, None)


class PolicyCounter:
    """A counter, with what this process knows without it: leases, and denials that still hold.

    Args:
        denials: ``None`` where the counter is this process's memory, which is
            as fast as they are.
        leases: what spends leases before the counter is used, which it wraps; if any.
    """

    __slots__ = ("_counter", "_denials", "_leases")

    def __init__(
        self,
        counter: Counter,
        denials: Denials | None = None,
        leases: LeasingCounter | None = None,
    ) -> None:
        self._counter = counter if leases is None else leases
        self._denials = denials
        self._leases = leases

    def check_in_memory(self, policy: object, check: LimitCheck) -> Decision | None:
        """Decide by a lease or a remembered denial; None where the counter must be used.

        Waits for nothing.
        """
        # First the lease: what is reserved may be used although more was denied since.
        if self._leases is not None:
            decision = self._leases.spend(check)
            if decision is not None:
                return decision
        return None if self._denials is None else self._denials.recall(policy, check)

    def check(self, policy: object, check: LimitCheck) -> Decision:
        """Check all limits of a principal under this state of all policy.

        Raises:
            CounterUnavailable: the limits could not be counted, and one is ``closed``.
        """
        if self._denials is None:
            return self._counter.check(check)
        decision = None if self._leases is None else self._leases.spend(check)
        if decision is not None:
            return decision
        return self._denials.check(self._counter, policy, check)

    def settle(self, check: LimitCheck) -> Decision:
        """Give back what a request did not use, or count what it used beyond that.

        Raises:
            CounterUnavailable: it is not known whether that was done; never repeat it.
        """
        decision = self._counter.check(check)
        if self._denials is not None:
            self._denials.forget(check.principal)
        return decision

    def read(self, principal: str, limits: tuple[Limit, ...]) -> Decision:
        """As ``Counter.read``."""
        return self._counter.read(principal, limits)

    def reset(self, principal: str, limit_keys: Sequence[int | str]) -> int:
        """As ``Counter.reset``; other processes may remember a denial for some seconds."""
        wait = self._counter.reset(principal, limit_keys)
        if self._denials is not None:
            self._denials.forget(principal)
        return wait


def _unchanged_for(decision: Decision) -> float:
    """Seconds until a number of the decision changes, other than by counting down."""
    moments = [one.wait for one in decision.counted if one.wait]
    moments += [one.reset for one in decision.counted if one.reset is not None]
    is_reserved = decision.may_return or any(one.limit.is_held for one in decision.violated)
    longest = LONGEST_RESERVED if is_reserved else LONGEST
    return min(min(moments) / MICROSECONDS, longest)


def _is_slot(one: Counted) -> bool:
    return one.limit.kind == "concurrent"


def _aged(decision: Decision, costs: Mapping[Limit, int], elapsed: int) -> Decision:
    """Return the same decision ``elapsed`` microseconds later, if nothing else happened."""
    aged = [_aged_one(one, costs[one.limit], elapsed) for one in decision.counted]
    return Decision.of(decision.allowed, decision.now + elapsed, aged)


def _aged_one(one: Counted, cost: int, elapsed: int) -> Counted:
    # Whatever never fits a window waits for all of it, however long it has waited.
    never = one.limit.kind == "window" and cost > one.limit.amount
    wait = one.wait if never else max(0, one.wait - elapsed)
    reset = None if one.reset is None else max(0, one.reset - elapsed)
    return Counted(one.limit, one.allowed, one.used, wait, reset)
