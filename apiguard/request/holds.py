"""What a request holds of limits until it has ended: units that its view settles, and slots.

A limit on requests in flight gives the request a slot, which it frees when it has ended.
Of other units the request takes beforehand what its route reserves; its view says what
was used, and the difference is given back, or counted on top when the response is closed.

Nothing here raises because of the store: what cannot be given back leaves with the
window, or ends with the limit's period. Nothing that failed is sent again, because it may
have been done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..counters.base import CounterUnavailable, GiveBack, LimitCheck
from ..counters.connection import TIMEOUT_SECONDS
from ..counters.denials import PolicyCounter
from ..counters.leases import elapsed_microseconds
from ..rules.limits import MICROSECONDS, Decision, Limit
from ..rules.rates import IN_FLIGHT

logger = logging.getLogger("apiguard.counters")

_TIMEOUT = int(TIMEOUT_SECONDS * MICROSECONDS)

# Called with the unit, what was used and reserved of it, and what the counter answered.
OnOverrun = Callable[[str, int, int, Decision], None]
# Called with a unit, and how much more of it is settled than before.
OnSettled = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Hold:
    """Units of some limits that one check counted for a request.

    Attributes:
        place: when they were counted, on the store's clock.
        begun: the time before the check was sent, on this process's clock.
    """

    counter: PolicyCounter
    principal: str
    limits: tuple[Limit, ...]
    units: int
    place: int
    begun: int
    is_local: bool

    def give_back(self, units: int) -> None:
        """Give ``units`` of these back, as far as the store can be reached."""
        age = elapsed_microseconds() - self.begun + _TIMEOUT
        back = (GiveBack(self.place, age, units),)
        self._settle(LimitCheck(self.principal, self.limits, 0, given_back=back))

    def count_more(self, units: int) -> tuple[Hold, Decision] | None:
        """Count ``units`` that were used already; None where that is not known to be done."""
        begun = elapsed_microseconds()
        check = LimitCheck(self.principal, self.limits, units, is_owed=True)
        decision = self._settle(check)
        if decision is None:
            return None
        return replace(self, units=units, place=decision.now, begun=begun), decision

    def _settle(self, check: LimitCheck) -> Decision | None:
        try:
            return self.counter.settle(check._replace(is_local=self.is_local))
        except CounterUnavailable as error:
            logger.debug("What a request used cannot be settled: %s", error)
        except Exception:
            # The response has left, or is about to: no request pays for a defect here.
            logger.exception("What a request used cannot be settled.")
        return None


class Holds:
    """All that one request holds; thread-safe.

    Args:
        on_overrun: called after more of a unit was counted than had been reserved.
        on_settled: called after a unit was settled that a limit of the caller counts.
        is_closed: whether what the view settles is sent at once, because nothing tells
            when the response is closed.
    """

    def __init__(
        self, on_overrun: OnOverrun, on_settled: OnSettled, *, is_closed: bool = False
    ) -> None:
        self._on_overrun, self._on_settled = on_overrun, on_settled
        self._is_closed = is_closed
        self._is_over = False
        self._lock = threading.Lock()
        self._holds: dict[str, list[Hold]] = {}
        self._used: dict[str, int] = {}
        self._settled: dict[str, int] = {}

    def take(
        self, counter: PolicyCounter, check: LimitCheck, begun: int, decision: Decision
    ) -> None:
        """Keep what a check has counted; give it back if the request is over by now."""
        counted = dict(_split(counter, check, begun, decision))
        with self._lock:
            is_over = self._is_over
            if not is_over:
                for unit, hold in counted.items():
                    self._holds.setdefault(unit, []).append(hold)
        if is_over:
            for hold in counted.values():
                hold.give_back(hold.units)

    def held(self, unit: str) -> int:
        """Return how much of a unit is counted for this request."""
        return sum(hold.units for hold in self._holds.get(unit, ()))

    def settle(self, used: Mapping[str, int]) -> bool:
        """Note what the request used in all; True if it is to be sent now (``send``)."""
        with self._lock:
            self._used.update(used)
            return self._is_closed

    def free_slots(self) -> None:
        """Free the slots, because the request has ended. Waits for the store."""
        self._give_back_all(lambda unit: unit == IN_FLIGHT)

    def give_back_all(self) -> None:
        """Give everything back, because no view has run. Waits for the store."""
        self._give_back_all(lambda unit: True)

    def close(self) -> None:
        """Free the slots and settle what was used. Waits for the store."""
        self.free_slots()
        with self._lock:
            self._is_closed = True
        self.send()

    def abandon(self, *, reached_view: bool) -> None:
        """Do the same for a request without a response, also with what a check still takes."""
        with self._lock:
            self._is_over = True
        if not reached_view:
            self.give_back_all()
        self.close()

    def send(self) -> None:
        """Settle what was used. Waits for the store."""
        with self._lock:
            used, self._used = self._used, {}
        for unit, amount in used.items():
            self._settle(unit, amount)

    def _settle(self, unit: str, used: int) -> None:
        with self._lock:
            holds = self._holds.pop(unit, [])
        reserved = sum(hold.units for hold in holds)
        if holds and used > reserved:
            counted = holds[0].count_more(used - reserved)
            if counted is not None:
                holds.append(counted[0])
                self._on_overrun(unit, used, reserved, counted[1])
        elif used < reserved:
            holds = list(_reduced(holds, reserved - used))
        with self._lock:
            self._holds[unit] = holds + self._holds.get(unit, [])
            # A view that corrects itself to less after its response is not counted back.
            more_used = max(0, used - self._settled.get(unit, 0)) if holds else 0
            self._settled[unit] = self._settled.get(unit, 0) + more_used
        if more_used:
            self._on_settled(unit, more_used)

    def _give_back_all(self, is_meant: Callable[[str], bool]) -> None:
        with self._lock:
            meant = [unit for unit in self._holds if is_meant(unit)]
            holds = [hold for unit in meant for hold in self._holds.pop(unit)]
        for hold in holds:
            hold.give_back(hold.units)


def _split(
    counter: PolicyCounter, check: LimitCheck, begun: int, decision: Decision
) -> Iterator[tuple[str, Hold]]:
    """Yield what was counted of each unit that is held."""
    costs = dict(zip(check.limits, check.all_costs, strict=True))
    by_unit: dict[str, list[Limit]] = {}
    for one in decision.counted:
        # A shadow limit that is exceeded has not counted the request.
        if one.limit.is_held and one.allowed and costs[one.limit]:
            by_unit.setdefault(one.limit.unit, []).append(one.limit)
    for unit, limits in by_unit.items():
        yield (
            unit,
            Hold(
                *(counter, check.principal, tuple(limits), costs[limits[0]]),
                *(decision.now, begun, decision.is_local),
            ),
        )


def _reduced(holds: list[Hold], unused: int) -> Iterator[Hold]:
    """Give ``unused`` units back, those that were counted last first; yield what is left."""
    left: list[Hold] = []
    for hold in reversed(holds):
        part = min(unused, hold.units)
        if part:
            hold.give_back(part)
            unused -= part
        left.append(replace(hold, units=hold.units - part))
    yield from reversed(left)
