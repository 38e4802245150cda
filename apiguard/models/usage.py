"""How many requests came: numbers by hour or day, route, client, key and outcome.

Not policy: written by telemetry, away from requests, and publishes nothing. Hours
are kept for a week; after that they are added up to days (UTC).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, ClassVar, NamedTuple, Self

from django.db import connections, models, router, transaction
from django.utils.translation import gettext_lazy as _

from .hourly_counts import hour_of

# The client and the key of a request without one. NULL would be unequal to itself in
# the unique key, and every flush would add a row.
NOBODY = 0
# Clients and keys that one process did not tell apart, because there were too many.
OTHERS = -1

# The outcome of requests whose numbers were lost, because the database did not take them.
LOST = "lost"
# Requests that used more of a unit than they had reserved. They are counted under their own
# outcome as well.
OVERRUN = "overrun"
NO_REQUESTS = (LOST, OVERRUN)
# Before the name of a unit, such as "settled:tokens": these numbers are units, no requests.
SETTLED = "settled:"

# As in the guard's verdicts: the request reached the view, or was a preflight.
SERVED = ("admitted", "preflight_answered")

HOURS_KEPT = timedelta(days=7)
ROWS_AT_ONCE = 500
OLD_ROWS_AT_ONCE = 500


class UsageKey(NamedTuple):
    """What requests are counted by, besides the time."""

    route_pk: int
    client_pk: int
    key_pk: int
    outcome: str
    enforced: bool


def count_requests(entries: Iterable[tuple[UsageKey, int]]) -> int:
    """Return how many requests these numbers count; units that were settled are none."""
    return sum(number for key, number in entries if not key.outcome.startswith(SETTLED))


def day_of(at: datetime) -> datetime:
    """Return the beginning of the day (UTC) that ``at`` is in."""
    return hour_of(at).replace(hour=0)


class UsageQuerySet(models.QuerySet["Usage"]):
    """Numbers of requests; ``add`` is the only way in."""

    def add(self, start: datetime, is_day: bool, counts: Mapping[UsageKey, int]) -> Iterator[int]:
        """Add ``counts`` to the rows of an hour or a day; yields the requests of each statement.

        Rows are sorted by the unique key: statements of two processes that lock
        the same rows in different orders would deadlock.
        """
        connection = connections[self.db]
        entries = iter(sorted(counts.items()))
        most = _rows_per_statement(connection)
        while batch := list(islice(entries, most)):
            rows = [(start, is_day, *key, requests) for key, requests in batch]
            with connection.cursor() as cursor:
                cursor.execute(*_upsert(connection, rows))
            yield count_requests(batch)

    def of_requests(self) -> Self:
        """The rows whose numbers are requests, each of which is in one row."""
        return self.exclude(outcome__in=NO_REQUESTS).exclude(outcome__startswith=SETTLED)

    def since(self, at: datetime, first_day: datetime) -> Self:
        """The rows of hours from that of ``at`` on, and of whole days from ``first_day`` on."""
        hour = hour_of(at)
        return self.filter(
            models.Q(is_day=False, start__gte=hour) | models.Q(is_day=True, start__gte=first_day),
            # Said once more without OR, for the index.
            start__gte=min(hour, first_day),
        )

    def roll_up(self, now: datetime) -> bool:
        """Add some of the hours that are over a week old to their days; False: none are left.

        Of two processes that do the same at once, the second deletes nothing and
        adds nothing.
        """
        over = self.filter(is_day=False, start__lt=day_of(now - HOURS_KEPT)).order_by("start")
        rows = list(
            over.values_list("pk", "start", *UsageKey._fields, "requests")[:OLD_ROWS_AT_ONCE]
        )
        days: dict[datetime, Counter[UsageKey]] = {}
        for _pk, start, *key, requests in rows:
            days.setdefault(day_of(start), Counter())[UsageKey(*key)] += requests
        with transaction.atomic(using=self.db):
            if not rows or not self._delete_all([row[0] for row in rows]):
                return False
            for day in sorted(days):
                list(self.add(day, True, days[day]))
        return True

    def forget(self, now: datetime, keep_days: int) -> bool:
        """Delete some of the rows that are older than ``keep_days``; False: none are left."""
        old = self.filter(start__lt=day_of(now - timedelta(days=keep_days)))
        pks = list(old.values_list("pk", flat=True)[:OLD_ROWS_AT_ONCE])
        return bool(pks) and self._delete_all(pks)

    def _delete_all(self, pks: list[int]) -> bool:
        """Delete these rows; False, and nothing is deleted, if another process was faster."""
        with transaction.atomic(using=self.db):
            deleted, _by_model = usage_rows(self.db).filter(pk__in=pks).delete()
            if deleted != len(pks):
                transaction.set_rollback(True, using=self.db)
            return deleted == len(pks)


class Usage(models.Model):
    """Requests of one hour or one day (UTC), of one route, client and key, with one outcome."""

    start = models.DateTimeField(_("from"))
    is_day = models.BooleanField(_("whole day"))
    # No foreign keys: numbers outlive rows, and are written without a look at them.
    route_pk = models.BigIntegerField(_("route"))
    client_pk = models.BigIntegerField(_("client"))
    key_pk = models.BigIntegerField(_("key"))
    outcome = models.CharField(_("outcome"), max_length=64)
    enforced = models.BooleanField(_("enforced"))
    requests = models.PositiveBigIntegerField(_("requests"))

    objects = UsageQuerySet.as_manager()

    UNIQUE: ClassVar[tuple[str, ...]] = ("start", "is_day", *UsageKey._fields)

    class Meta:
        verbose_name = _("usage")
        verbose_name_plural = _("usage")
        ordering: ClassVar[list[str]] = ["-start"]
        default_permissions = ("view",)
        constraints = (
            models.UniqueConstraint(
                fields=("start", "is_day", *UsageKey._fields), name="apiguard_usage_once"
            ),
        )
        indexes = (
            models.Index(fields=["client_pk", "start"], name="apiguard_usage_client"),
            models.Index(fields=["route_pk", "start"], name="apiguard_usage_route"),
        )

    def __str__(self) -> str:
        return f"{self.outcome}: {self.requests}"


def usage_rows(using: str = "") -> UsageQuerySet:
    """Return all rows, in the database that they are written to; routers may move them."""
    rows: UsageQuerySet = Usage.objects.using(using or router.db_for_write(Usage))
    return rows


def _rows_per_statement(connection: Any) -> int:
    most = connection.features.max_query_params
    return ROWS_AT_ONCE if most is None else min(ROWS_AT_ONCE, most // (len(Usage.UNIQUE) + 1))


def _upsert(connection: Any, rows: Iterable[tuple[Any, ...]]) -> tuple[str, list[Any]]:
    """Return one statement that inserts ``rows``, and adds to those that exist already.

    ``bulk_create(update_conflicts=True)`` can replace a number, but not add to it.
    """
    quote = connection.ops.quote_name
    # Only fields with columns have these names.
    fields: list[Any] = [Usage._meta.get_field(name) for name in (*Usage.UNIQUE, "requests")]
    columns = [quote(field.column) for field in fields]
    values = [
        field.get_db_prep_save(value, connection)
        for row in rows
        for field, value in zip(fields, row, strict=True)
    ]
    places = f"({', '.join(['%s'] * len(fields))})"
    table, number = quote(Usage._meta.db_table), columns[-1]
    if connection.vendor == "mysql":  # MariaDB has no row alias, so VALUES().
        conflict = f"ON DUPLICATE KEY UPDATE {number} = {number} + VALUES({number})"
    else:
        conflict = (
            f"ON CONFLICT ({', '.join(columns[:-1])}) "
            f"DO UPDATE SET {number} = {table}.{number} + EXCLUDED.{number}"
        )
    all_places = ", ".join([places] * (len(values) // len(fields)))
    insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {all_places} {conflict}"  # noqa: S608 - names and places only
    return insert, values
