"""Read the usage table: totals, the most frequent rows, and numbers over time.

Hours and days are those of the current time zone as far as the table has hours,
which is a week; before that, days are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import F, Max, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from ..models import ApiKey, Client, Route
from ..models.hourly_counts import hour_of
from ..models.state import write_alias
from ..models.usage import (
    LOST,
    NOBODY,
    OVERRUN,
    SERVED,
    SETTLED,
    UsageQuerySet,
    usage_rows,
)
from .formatting import local_time

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

_REFUSED = ~Q(outcome__in=SERVED)
_SUMS: dict[str, Any] = {
    "total": Coalesce(Sum("requests"), 0),
    "refused": Coalesce(Sum("requests", filter=_REFUSED & Q(enforced=True)), 0),
    "would_refuse": Coalesce(Sum("requests", filter=_REFUSED & Q(enforced=False)), 0),
}


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers of requests: all, those refused, and those that an observing route would refuse."""

    requests: int = 0
    refused: int = 0
    would_refuse: int = 0

    @property
    def admitted(self) -> int:
        return self.requests - self.refused

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.requests + other.requests,
            self.refused + other.refused,
            self.would_refuse + other.would_refuse,
        )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which usage to read: of a time, and perhaps of one client, key or route only."""

    since: datetime
    now: datetime
    client_pk: Any = None
    key_pk: Any = None
    route_pk: Any = None

    @classmethod
    def of_days(cls, days: int, now: datetime | None = None, **only: Any) -> Selection:
        """Return the last 24 hours for one day, else whole days of the current time zone."""
        now = now or timezone.now()
        if days == 1:
            return cls(hour_of(now) - 23 * HOUR, now, **only)
        today = local_time(now).replace(hour=0, minute=0, second=0, microsecond=0)
        return cls(_midnight(today - (days - 1) * DAY), now, **only)

    @property
    def rows(self) -> UsageQuerySet:
        """The rows of requests, without lost numbers, which belong to no client and no route."""
        return self._own().of_requests().order_by()

    def overruns(self) -> int:
        """Return how many requests used more of a unit than they had reserved; one query."""
        return int(self._own().filter(outcome=OVERRUN).aggregate(**_SUMS)["total"])

    def _own(self) -> UsageQuerySet:
        named = {"client_pk": self.client_pk, "key_pk": self.key_pk, "route_pk": self.route_pk}
        only = {name: value for name, value in named.items() if value is not None}
        return self._of_time().filter(**only)

    def lost(self) -> int:
        """Return how many requests of all were not recorded; one query."""
        # Such rows have this route and client; the filter lets the database use the index.
        rows = self._of_time().filter(outcome=LOST, route_pk=NOBODY, client_pk=NOBODY)
        return int(rows.aggregate(**_SUMS)["total"])

    def _of_time(self) -> UsageQuerySet:
        first_day = local_time(self.since).replace(hour=0, minute=0, second=0, microsecond=0)
        if timezone.is_aware(first_day):
            first_day = first_day.replace(tzinfo=UTC)
        return usage_rows().since(self.since, first_day)

    def settled(self) -> UsageQuerySet:
        """The rows of units that views settled, such as tokens."""
        return self._own().filter(outcome__startswith=SETTLED).order_by()


@dataclass(frozen=True, slots=True)
class Share:
    """The numbers of one value of a column, such as of one client; ``last``: of its last hour."""

    key: tuple[Any, ...]
    totals: Totals
    last: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """The numbers of one hour or day that begins at ``start``."""

    start: datetime
    totals: Totals = field(default_factory=Totals)


def totals(selection: Selection) -> Totals:
    """Return the numbers of everything that is selected; one query."""
    return _totals(selection.rows.aggregate(**_SUMS))


def shares(
    selection: Selection, columns: Sequence[str], *, by: str = "total", most: int = 20
) -> list[Share]:
    """Return the values of ``columns`` with the highest numbers, highest first; one query.

    Args:
        by: "total" or "refused", which includes those that would have been.
    """
    rows = selection.rows.values(*columns).annotate(**_SUMS, last=Max("start"))
    if by == "refused":
        rows = rows.annotate(number=F("refused") + F("would_refuse")).filter(number__gt=0)
    else:
        rows = rows.annotate(number=F("total"))
    return [
        Share(tuple(row[name] for name in columns), _totals(row), row["last"])
        for row in rows.order_by("-number", *columns)[:most]
    ]


@dataclass(frozen=True, slots=True)
class Units:
    """Units of one kind that one caller used at one route on one day."""

    day: datetime
    route_pk: int
    client_pk: int
    unit: str
    amount: int


def settled_units(selection: Selection, *, most: int) -> list[Units]:
    """Return the units that views settled by day, route and client, newest first; one query."""
    amounts: dict[tuple[datetime, int, int, str], int] = {}
    columns = ("start", "is_day", "route_pk", "client_pk", "outcome")
    rows = selection.settled().values_list(*columns).annotate(total=Sum("requests"))
    for start, is_day, route_pk, client_pk, outcome, total in rows:
        # A whole day, UTC, goes to the day of the same date.
        day = _midnight(start if is_day else local_time(start))
        key = (day, route_pk, client_pk, outcome.removeprefix(SETTLED))
        amounts[key] = amounts.get(key, 0) + int(total)
    found = [Units(*key, amount) for key, amount in amounts.items()]
    found.sort(key=lambda one: (-one.day.timestamp(), one.unit, -one.amount, one.route_pk))
    return found[:most]


def periods(selection: Selection) -> list[Period]:
    """Return the numbers by the hour for up to 24 hours, else by the day; one query."""
    hourly = selection.now - selection.since <= DAY
    counted: dict[datetime, Totals] = {}
    for row in selection.rows.values("start", "is_day").annotate(**_SUMS):
        # A whole day, UTC, goes to the day of the same date.
        start = row["start"] if row["is_day"] else local_time(row["start"])
        start = row["start"] if hourly else _midnight(start)
        counted[start] = counted.get(start, Totals()) + _totals(row)
    return [Period(start, counted.get(start, Totals())) for start in _starts(selection, hourly)]


def _starts(selection: Selection, hourly: bool) -> Iterable[datetime]:
    if hourly:
        first = hour_of(selection.since)
        return [first + hours * HOUR for hours in range(24)]
    first, days = local_time(selection.since), list[datetime]()
    while (day := _midnight(first + len(days) * DAY)) <= selection.now:
        days.append(day)
    return days


def _midnight(local: datetime) -> datetime:
    """The same wall-clock day at 0:00; where clocks change, the offset is that of the day."""
    bare = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return bare if timezone.is_naive(local) else timezone.make_aware(bare)


def _totals(row: Any) -> Totals:
    return Totals(int(row["total"]), int(row["refused"]), int(row["would_refuse"]))


def names_of(routes: Iterable[Any], clients: Iterable[Any], keys: Iterable[Any]) -> Names:
    """Return the rows behind these numbers; one query for each kind of row."""
    return Names(_by_pk(Route, routes), _by_pk(Client, clients), _by_pk(ApiKey, keys))


@dataclass(frozen=True, slots=True)
class Names:
    """Rows by primary key; those that were deleted are missing."""

    routes: dict[Any, Route]
    clients: dict[Any, Client]
    keys: dict[Any, ApiKey]


def _by_pk(model: type[Any], pks: Iterable[Any]) -> dict[Any, Any]:
    wanted = {pk for pk in pks if pk > 0}
    if not wanted:
        return {}
    return {row.pk: row for row in model.objects.using(write_alias()).filter(pk__in=wanted)}
