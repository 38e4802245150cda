"""Requests in flight: a sorted list of the moments at which each ends of itself.

A request takes a slot, whose end is a limit's period after its admission, and gives it
back when it has ended. What nobody gives back, because a process died, ends by itself.
A slot is given back by its exact end, so that nobody frees the slot of another request:
two with one end are alike. If the clock steps back, no slot ends later than a period
after now; such a slot may not be found again, and ends by itself.

``window.lua`` comes to the same; change both.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from ..rules.limits import MICROSECONDS, Limit

# When a slot becomes free is not known: a client may try again after a second.
WAIT = MICROSECONDS


@dataclass(slots=True)
class Slots:
    """The tally of a limit on requests in flight; see ``Tally``."""

    ends: array[int] = field(default_factory=lambda: array("q"))

    @property
    def used(self) -> int:
        return len(self.ends)

    def settle(self, now: int, limit: Limit) -> bool:
        latest = now + _period(limit)
        del self.ends[: bisect_right(self.ends, now)]
        later = len(self.ends) - bisect_right(self.ends, latest)
        if later:
            self.ends[-later:] = array("q", [latest] * later)
        return later > 0

    def wait(self, now: int, limit: Limit, cost: int) -> int:
        return WAIT if self.used + cost > limit.amount else 0

    def add(self, at: int, limit: Limit, units: int) -> None:
        self.ends.extend([at + _period(limit)] * units)

    def give_back(self, now: int, limit: Limit, place: int, age: int, units: int) -> bool:
        end = place + _period(limit)
        first = bisect_left(self.ends, end)
        found = min(units, bisect_right(self.ends, end) - first)
        del self.ends[first : first + found]
        return found > 0

    def may_reserve(self, now: int, place: int, limit: Limit) -> bool:
        return False

    def may_return(self, now: int) -> bool:
        return True

    def reset(self, now: int, limit: Limit) -> int | None:
        return None

    def start_over(self, now: int) -> int:
        self.ends = array("q")
        return 0

    def expires(self, limit: Limit) -> int:
        return self.ends[-1] if self.ends else 0

    def copy(self) -> Slots:
        return Slots(self.ends[:])


def _period(limit: Limit) -> int:
    return limit.period * MICROSECONDS
