"""The counter section of the overview: where limits are counted, and recorded outages.

This module reads the database only. It sends no command to Redis, because a
store that hangs would block the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from ... import conf
from ...counters.connection import cluster_host, is_cluster
from ...models import CounterFault, CounterOutage, UntrustedProxy
from ...models.state import write_alias
from ...telemetry import proxies
from ...telemetry.formatting import format_time

DAY = timedelta(days=1)
# Per page; the log has the rest.
OUTAGES_SHOWN = 20
PRINCIPALS_SHOWN = 5


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
    """Return what was recorded; four queries."""
    now = timezone.now()
    name = conf.current().counter
    outages = CounterOutage.objects.using(write_alias())
    open_now = outages.open(now)[:OUTAGES_SHOWN]
    ended = outages.ended_since(now - DAY, now)[:OUTAGES_SHOWN]
    return CounterStatus(
        where=_where(name),
        is_memory=name == "memory",
        outages=[*(_lasting(row, now) for row in open_now), *(_ended(row, now) for row in ended)],
        faults=list(CounterFault.objects.using(write_alias()).since(now - DAY)[:OUTAGES_SHOWN]),
        proxies=proxies.untrusted_since(now - DAY),
    )


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
