"""The algorithm: a merged log for windows, a calendar counter for quotas.

A **merged log** holds entries (last timestamp, count), oldest first. An
admission within W/B of the *start* of the newest entry is merged into it:
its count grows and its last timestamp becomes now. An entry is dropped once
its last timestamp is at or before now-W. A request is refused if what the log
holds plus its cost exceeds N.

Two bounds hold on one clock, for every window length W and amount N:

1. Never more than N cost units in any W. A unit admitted at s sits in an entry
   whose last timestamp is s or later, so it is still held at every now < s+W.
   What the log holds at now therefore covers all of (now-W, now], and it is at
   most N after each admission.
2. Only what would exceed N within W+W/B is refused. A unit admitted at s sits
   in an entry that started at or before s and ended at most W/B after its
   start, so its last timestamp is at most s+W/B and it is dropped by
   s+W+W/B. All that is held at now was admitted in (now-W-W/B, now].

Two entries start more than W/B apart and all but the oldest start within W, so
there are at most B+1 of them. If N <= B nothing is merged: the log is exact,
and holds at most N entries.

If the newest entry lies in the future, the clock stepped back: the whole log
is shifted back by the difference, so that it neither blocks for the length of
the step nor forgets. The shift is kept even when the request is refused, else
the log would not age until the clock has caught up.

A calendar quota whose period begins within the next day has been seen by a clock
that then stepped back over midnight: that period goes on, so that it is granted
once. One that begins later was seen by a clock that was wrong; it becomes the
current period, so that it does not hold back anybody until then.

All times are integer microseconds since the epoch. ``window.lua`` comes
to the same; change both.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, Self

from ..rules.limits import MICROSECONDS, Limit

B = 32
# Reached only when staff lengthen a period under a full log. Merging more than
# the rule says is safe: units are held longer, never shorter.
MAX_ENTRIES = 2 * B

DAY = 86400 * MICROSECONDS


class Tally(Protocol):
    """What has been used of one limit; every method takes the limit as it is now."""

    @property
    def used(self) -> int: ...

    def settle(self, now: int, limit: Limit) -> bool:
        """Forget what has passed; must precede every other call at ``now``.

        True if the clock stepped back: then the tally must be kept even when
        the request is refused.
        """

    def wait(self, now: int, limit: Limit, cost: int) -> int:
        """Microseconds until ``cost`` fits; 0 if it does, all of it if it never will."""

    def add(self, now: int, limit: Limit, cost: int) -> None:
        """Count ``cost`` units, which fit."""

    def reset(self, now: int, limit: Limit) -> int | None:
        """Microseconds until some quota returns; None when nothing is used."""

    def expires(self, limit: Limit) -> int:
        """The moment from which nothing of it matters."""

    def copy(self) -> Self: ...


@dataclass(slots=True)
class MergedLog:
    """A window's tally. ``start`` is the first timestamp of the newest entry."""

    last: array[int] = field(default_factory=lambda: array("q"))
    count: array[int] = field(default_factory=lambda: array("q"))
    start: int = 0

    @property
    def used(self) -> int:
        return sum(self.count)

    def settle(self, now: int, limit: Limit) -> bool:
        moved = self._shift_back(now)
        horizon = now - _window(limit)
        gone = 0
        while gone < len(self.last) and self.last[gone] <= horizon:
            gone += 1
        del self.last[:gone], self.count[:gone]
        return moved

    def _shift_back(self, now: int) -> bool:
        if not self.last or self.last[-1] <= now:
            return False
        step = self.last[-1] - now
        self.last = array("q", [moment - step for moment in self.last])
        self.start -= step
        return True

    def wait(self, now: int, limit: Limit, cost: int) -> int:
        missing = self.used + cost - limit.amount
        if missing <= 0:
            return 0
        for last, count in zip(self.last, self.count, strict=True):
            missing -= count
            if missing <= 0:
                return last + _window(limit) - now
        return _window(limit)

    def add(self, now: int, limit: Limit, cost: int) -> None:
        if self._merges(now, limit):
            self.last[-1] = now
            self.count[-1] += cost
        else:
            self.last.append(now)
            self.count.append(cost)
            self.start = now

    def _merges(self, now: int, limit: Limit) -> bool:
        if not self.last:
            return False
        near = limit.amount > B and now - self.start <= _window(limit) // B
        return near or len(self.last) >= MAX_ENTRIES

    def reset(self, now: int, limit: Limit) -> int | None:
        return self.last[0] + _window(limit) - now if self.last else None

    def expires(self, limit: Limit) -> int:
        return self.last[-1] + _window(limit) if self.last else 0

    def copy(self) -> MergedLog:
        return MergedLog(self.last[:], self.count[:], self.start)


@dataclass(slots=True)
class CalendarQuota:
    """A quota's tally: what was used since ``start``, the begin of its UTC day or month."""

    start: int = 0
    used: int = 0

    def settle(self, now: int, limit: Limit) -> bool:
        stepped_back = now < self.start <= now + DAY
        begin, _ = calendar_bounds(self.start if stepped_back else now, limit.calendar)
        moved = self.start > begin
        if self.start < begin:
            self.used = 0
        self.start = begin
        return moved

    def wait(self, now: int, limit: Limit, cost: int) -> int:
        if self.used + cost <= limit.amount:
            return 0
        return self.expires(limit) - now

    def add(self, now: int, limit: Limit, cost: int) -> None:
        self.used += cost

    def reset(self, now: int, limit: Limit) -> int | None:
        return self.expires(limit) - now if self.used else None

    def expires(self, limit: Limit) -> int:
        return calendar_bounds(self.start, limit.calendar)[1]

    def copy(self) -> CalendarQuota:
        return CalendarQuota(self.start, self.used)


def new_tally(limit: Limit) -> Tally:
    """An empty tally of the kind that ``limit`` needs."""
    return MergedLog() if limit.kind == "window" else CalendarQuota()


def calendar_bounds(now: int, calendar: str) -> tuple[int, int]:
    """The UTC day or month that holds ``now``: its begin and the begin of the next."""
    today = now - now % DAY
    if calendar == "day":
        return today, today + DAY
    date = datetime.fromtimestamp(today // MICROSECONDS, UTC)
    begin = date.replace(day=1)
    # Day 1 plus 31 days is always in the next month.
    after = datetime.fromtimestamp(begin.timestamp() + 31 * 86400, UTC).replace(day=1)
    return int(begin.timestamp()) * MICROSECONDS, int(after.timestamp()) * MICROSECONDS


def _window(limit: Limit) -> int:
    return limit.period * MICROSECONDS
