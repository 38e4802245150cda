"""The algorithm: a merged log for windows, a calendar counter for quotas.

A **merged log** holds entries (last timestamp, count), oldest first. Units that
are added within W/B of the *start* of the newest entry are merged into it: its
count grows. An entry is dropped once its last timestamp is at or before now-W. A
request is refused if what the log holds plus its cost exceeds N.

An admission is added at now. A **reservation** (a lease) is added at its end, at
most W/B and at most ``LONGEST_LEASE`` ahead of now: it may be used at any moment
until then. The last timestamp of an entry that grows or begins is therefore never
less than that of the entry before it, also where what is added lies earlier.

Two bounds hold on one clock, for every window length W and amount N:

1. Never more than N cost units in any W. A unit used at s sits in an entry
   whose last timestamp is s or later, so it is still held at every now < s+W.
   What the log holds at now therefore covers all of (now-W, now], and it is at
   most N after each admission.
2. Only what would exceed N within W+W/B is refused, within W+2W/B where units
   were reserved, if all of them are used. A unit added at s sits in an entry that
   started at or before s and ended at most W/B after its start, so its last
   timestamp is at most s+W/B (with reservations s+2W/B) and it is dropped W later.

Two entries start more than W/B apart and all but the oldest start within W, so
there are at most B+2 of them. If N <= B nothing is merged: the log is exact,
and holds at most N entries.

**Giving back** what was reserved and not used: units that stand at ``place`` are taken
from the first entry that ends at or after it, then from older ones, never from a newer
one. Before, and for every moment t, the entries that end at t or later hold what was or
may be used at t or later. No entry ends between ``place`` and the one that is taken
from, and what it holds beyond the units is what was used after ``place``, so that this
stays true. (Taking the oldest first would return what expires soon anyhow.) A place that
is too early is safe, one that is too late is not. As a clock may have stepped back since,
the place is the earlier of two: the one on the store's clock then, and now less its age
on the clock of the process that reserved the units. What has left the window, or
what a quota's period that has ended counted, is not given back.

If the newest entry lies more than ``LONGEST_LEASE`` ahead, the clock stepped back: the
whole log is shifted back, so that it lies that far ahead. It neither blocks for the
length of the step nor forgets. The shift is kept even when the request is refused, else
the log would not age until the clock has caught up.

**Counting from zero.** Leases that other processes hold may be used until they end, and
nobody can tell how much of them was used. So a reset takes effect when the last of them
has ended: at the last timestamp of the newest entry if that lies ahead, else at once. Until
then the log counts as before, and nothing is reserved. Then all of it is forgotten; an
empty entry at that moment stays first in the log, and what was counted up to there is not
given back any more. A quota keeps the same moment as the begin from which it counts.

A calendar quota whose period begins within the next day has been seen by a clock
that then stepped back over midnight: that period goes on, so that it is granted
once. One that begins later was seen by a clock that was wrong; it becomes the
current period, so that it does not hold back anybody until then.

All times are integer microseconds since the epoch. ``window.lua`` comes
to the same; change both.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, Self

from ..rules.limits import MICROSECONDS, Limit
from .slots import Slots

B = 32
# Reached only when staff lengthen a period under a full log. Merging more than
# the rule says is safe: units are held longer, never shorter.
MAX_ENTRIES = 2 * B

DAY = 86400 * MICROSECONDS

# More than a limit's amount is used where more was used than had been reserved. Never more
# than this is counted, so that a sum of four bytes holds it.
MOST_USED = 4 * 10**9

# How far ahead of now units may be reserved, in microseconds.
LONGEST_LEASE = 2 * MICROSECONDS
# Below this amount too little is left to be reserved ahead.
LEAST_LEASED_AMOUNT = 256
# A lease takes at most this part of what is left of every limit.
LEASED_SHARE = 16
# How long a lease may have ended before its unused units are given back.
RETURN_TIME = MICROSECONDS


class Tally(Protocol):
    """What has been used of one limit; every method takes the limit as it is now."""

    @property
    def used(self) -> int: ...

    def settle(self, now: int, limit: Limit) -> bool:
        """Forget what has passed; must precede every other call at ``now``.

        True if the clock stepped back, or a reset took effect: then the tally must be
        kept even when the request is refused.
        """

    def wait(self, now: int, limit: Limit, cost: int) -> int:
        """Return microseconds until ``cost`` fits; 0 if it does, all of it if it never will."""

    def add(self, at: int, limit: Limit, units: int) -> None:
        """Count units at a moment that is now or, for a reservation, ahead."""

    def give_back(self, now: int, limit: Limit, place: int, age: int, units: int) -> bool:
        """Take back reserved units that were not used; True if that changed anything."""

    def may_reserve(self, now: int, place: int, limit: Limit) -> bool:
        """Whether what is counted at ``place`` is of the same period as what is counted now."""

    def may_return(self, now: int) -> bool:
        """Whether reserved units may be held now that are given back soon."""

    def start_over(self, now: int) -> int:
        """Count from zero when what is reserved has ended; return the microseconds until then."""

    def reset(self, now: int, limit: Limit) -> int | None:
        """Return microseconds until some quota returns; None when nothing is used."""

    def expires(self, limit: Limit) -> int:
        """Return the moment from which nothing of it matters."""

    def copy(self) -> Self: ...


@dataclass(slots=True)
class MergedLog:
    """A window's tally.

    ``start`` is the first timestamp of the newest entry. Behind its last one it says that
    the log starts over at that last one.
    """

    last: array[int] = field(default_factory=lambda: array("q"))
    count: array[int] = field(default_factory=lambda: array("q"))
    start: int = 0

    @property
    def used(self) -> int:
        return sum(self.count)

    @property
    def _starts_over(self) -> bool:
        return bool(self.last) and self.start > self.last[-1]

    def settle(self, now: int, limit: Limit) -> bool:
        moved = self._shift_back(now)
        if self._starts_over and self.last[-1] <= now:
            self._forget()
            moved = True
        horizon = now - _window(limit)
        gone = 0
        while gone < len(self.last) and self.last[gone] <= horizon:
            gone += 1
        del self.last[:gone], self.count[:gone]
        return moved

    def _shift_back(self, now: int) -> bool:
        latest = now + LONGEST_LEASE
        if not self.last or self.last[-1] <= latest:
            return False
        step = self.last[-1] - latest
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
                return self._or_start_over(now, last + _window(limit) - now)
        return _window(limit)

    def _or_start_over(self, now: int, wait: int) -> int:
        return min(wait, self.last[-1] - now) if self._starts_over else wait

    def add(self, at: int, limit: Limit, units: int) -> None:
        last = max(at, self.last[-1]) if self.last else at
        if self._merges(at, limit):
            self.last[-1] = last
            self.count[-1] += units
        else:
            self.last.append(last)
            self.count.append(units)
            self.start = at

    def _merges(self, at: int, limit: Limit) -> bool:
        if not self.last:
            return False
        near = limit.amount > B and at - self.start <= _window(limit) // B
        return near or len(self.last) >= MAX_ENTRIES or self._starts_over

    def give_back(self, now: int, limit: Limit, place: int, age: int, units: int) -> bool:
        place = min(place, now - age)
        if not self.last or place <= now - _window(limit):
            return False
        is_reset = not self.count[0]
        if is_reset and place <= self.last[0]:
            return False
        newest = len(self.last) - 1
        of = range(bisect_left(self.last, place), newest + 1)
        index = next((i for i in of if self.count[i]), None)
        if index is None:
            return False
        missing = units
        for i in range(index, -1, -1):
            part = min(missing, self.count[i])
            self.count[i] -= part
            missing -= part
        kept = [i for i, count in enumerate(self.count) if count or (i == 0 and is_reset)]
        if not self.count[newest]:
            if self._starts_over:  # The newest entry says so.
                kept = [*kept, newest]
            else:
                # Nobody knows when the entry before it began, but whatever begins from now on
                # does so more than W/B later.
                self.start = 0
        self.last = array("q", [self.last[i] for i in kept])
        self.count = array("q", [self.count[i] for i in kept])
        return missing < units

    def may_reserve(self, now: int, place: int, limit: Limit) -> bool:
        return not self._starts_over

    def may_return(self, now: int) -> bool:
        return bool(self.last) and self.last[-1] > now - RETURN_TIME

    def reset(self, now: int, limit: Limit) -> int | None:
        oldest = next((i for i, count in enumerate(self.count) if count), None)
        if oldest is None:
            return None
        return self._or_start_over(now, self.last[oldest] + _window(limit) - now)

    def start_over(self, now: int) -> int:
        if not self.last:
            return 0
        if self.last[-1] <= now:
            self._forget()
            return 0
        self.start = self.last[-1] + 1
        return min(self.last[-1] - now, LONGEST_LEASE)

    def _forget(self) -> None:
        self.last, self.count, self.start = self.last[-1:], array("q", [0]), 0

    def expires(self, limit: Limit) -> int:
        return self.last[-1] + _window(limit) if self.last else 0

    def copy(self) -> MergedLog:
        return MergedLog(self.last[:], self.count[:], self.start)


@dataclass(slots=True)
class CalendarQuota:
    """A quota's tally: what was used since ``start``, the begin of its UTC day or month.

    After a reset ``start`` lies in the period, and while ``starts_over`` it lies ahead.
    ``until`` is the latest moment at which units were counted, of a lease its end.
    """

    start: int = 0
    used: int = 0
    until: int = 0
    starts_over: bool = False

    def settle(self, now: int, limit: Limit) -> bool:
        moved = False
        if self.starts_over:
            moved = self.start > now + LONGEST_LEASE
            self.start = min(self.start, now + LONGEST_LEASE)
            if self.start <= now:
                self.used, self.starts_over, moved = 0, False, True
        stepped_back = now < self.start <= now + DAY
        begin, end = calendar_bounds(self.start if stepped_back else now, limit.calendar)
        if self.start < begin:
            self.used = 0
        if not begin <= self.start < end:
            moved, self.start = moved or self.start >= end, begin
        return moved

    def wait(self, now: int, limit: Limit, cost: int) -> int:
        if self.used + cost <= limit.amount:
            return 0
        if self.starts_over and cost <= limit.amount:
            return self.start - now
        return self.expires(limit) - now

    def add(self, at: int, limit: Limit, units: int) -> None:
        self.used += units
        self.until = max(self.until, at)

    def give_back(self, now: int, limit: Limit, place: int, age: int, units: int) -> bool:
        if not self.start < place < self.expires(limit):
            return False
        before, self.used = self.used, max(0, self.used - units)
        return self.used != before

    def may_reserve(self, now: int, place: int, limit: Limit) -> bool:
        begin, end = calendar_bounds(self.start, limit.calendar)
        return begin <= now and place < end and not self.starts_over

    def may_return(self, now: int) -> bool:
        return True  # A quota does not hold when it was used.

    def reset(self, now: int, limit: Limit) -> int | None:
        if not self.used:
            return None
        return (self.start if self.starts_over else self.expires(limit)) - now

    def start_over(self, now: int) -> int:
        self.start = max(now, min(self.until, now + LONGEST_LEASE))
        self.starts_over = self.start > now
        if not self.starts_over:
            self.used = 0
        return self.start - now

    def expires(self, limit: Limit) -> int:
        return calendar_bounds(self.start, limit.calendar)[1]

    def copy(self) -> CalendarQuota:
        return CalendarQuota(self.start, self.used, self.until, self.starts_over)


def lease_length(limits: Sequence[Limit]) -> int:
    """Return microseconds for which units of all these limits may be reserved ahead."""
    windows = [_window(limit) // B for limit in limits if limit.kind == "window"]
    return min([LONGEST_LEASE, *windows])


def largest_lease(limits: Sequence[Limit], left: Sequence[int], units: int) -> int:
    """How many units may be reserved of what is ``left`` of each limit, ``units`` at most."""
    if any(limit.amount < LEAST_LEASED_AMOUNT for limit in limits):
        return 0
    return max(0, min(units, *(each // LEASED_SHARE for each in left)))


def new_tally(limit: Limit) -> Tally:
    """Return an empty tally of the kind that ``limit`` needs."""
    if limit.kind == "concurrent":
        return Slots()
    return MergedLog() if limit.kind == "window" else CalendarQuota()


def calendar_bounds(now: int, calendar: str) -> tuple[int, int]:
    """Return the UTC day or month that holds ``now``: its begin and the begin of the next."""
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
