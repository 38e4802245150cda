"""The counter section of the overview: where limits are counted, and recorded outages.

This module reads the database only. It sends no command to Redis, because a
store that hangs would block the page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import BigIntegerField, CharField, DateTimeField, Value
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from ... import conf
from ...counters.connection import cluster_host, is_cluster
from ...models import CounterFault, CounterOutage, UntrustedProxy
from ...models.incidents import SILENCE
from ...models.state import write_alias
from ...telemetry.formatting import format_time

DAY = timedelta(days=1)
# Per page; the log has the rest.
OUTAGES_SHOWN = 20
INCIDENTS_READ = 1000


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage as the page shows it: "away since 22:10", in which process."""

    process: str
    when: str
    lasts: bool


@dataclass(frozen=True, slots=True)
class CounterStatus:
    """Where limits are counted, and the outages of the last 24 hours."""

    where: str
    is_memory: bool
    outages: list[Outage]
    faults: list[CounterFault]
    proxies: list[UntrustedProxy]


def counter_status() -> CounterStatus:
    """Return what was recorded; one query."""
    now = timezone.now()
    name = conf.current().counter
    outages: list[CounterOutage] = []
    faults: list[CounterFault] = []
    found: list[UntrustedProxy] = []
    for kind, text, detail, count, first, last, ended in _incidents(now - DAY):
        if kind == "outage":
            row = CounterOutage(process=text, began_at=first, seen_at=last, ended_at=ended)
            outages.append(row)
        elif kind == "fault":
            faults.append(CounterFault(kind=detail, name=text, count=count, last_seen=last))
        else:
            found.append(UntrustedProxy(address=text, last_seen=last))
    outages.sort(key=lambda row: row.began_at, reverse=True)
    lasting = [row for row in outages if row.ended_at is None and row.seen_at >= now - SILENCE]
    ended_ones = [row for row in outages if row not in lasting]
    return CounterStatus(
        where=_where(name),
        is_memory=name == "memory",
        outages=[
            *(_lasting(row, now) for row in lasting[:OUTAGES_SHOWN]),
            *(_ended(row, now) for row in ended_ones[:OUTAGES_SHOWN]),
        ],
        faults=sorted(faults, key=lambda row: (row.kind, row.name))[:OUTAGES_SHOWN],
        proxies=sorted(found, key=lambda row: row.address),
    )


def _incidents(since: datetime) -> Iterable[tuple[Any, ...]]:
    """Return kind, name, detail, count, first and last sight, and end of each incident.

    Three small tables in one query, because this page has many others.
    """
    alias = write_alias()
    never = Cast(Value(None), DateTimeField())
    outages = CounterOutage.objects.using(alias).filter(seen_at__gte=since).order_by()
    faults = CounterFault.objects.using(alias).since(since).order_by()
    seen = UntrustedProxy.objects.using(alias).since(since).order_by()
    nothing, none = Value("", CharField()), Value(0, BigIntegerField())
    rows = outages.values_list(
        Value("outage", CharField()), "process", nothing, none, "began_at", "seen_at", "ended_at"
    ).union(
        faults.values_list(
            Value("fault", CharField()), "name", "kind", "count", "first_seen", "last_seen", never
        ),
        seen.values_list(
            Value("proxy", CharField()), "address", nothing, none, "first_seen", "last_seen", never
        ),
        all=True,
    )
    # Django 6.1 would order by the model's own ordering, which is no column of the union.
    return rows.order_by()[:INCIDENTS_READ]


def _where(name: str) -> str:
    if name == "memory":
        return _("in the memory of each process")
    if is_cluster(name):
        return _("in the Redis cluster at %(host)s") % {"host": cluster_host(name)}
    return _("in Redis, through the cache “%(alias)s”") % {"alias": name}


def _lasting(row: CounterOutage, now: datetime) -> Outage:
    since = _("away since %(when)s") % {"when": format_time(row.began_at, now)}
    return Outage(row.process, since, lasts=True)


def _ended(row: CounterOutage, now: datetime) -> Outage:
    # A process that stopped reporting counts as ended at its last report.
    began, ended = format_time(row.began_at, now), format_time(row.ended_at or row.seen_at, now)
    when = _("away from %(began)s to %(ended)s") % {"began": began, "ended": ended}
    return Outage(row.process, when, lasts=False)
