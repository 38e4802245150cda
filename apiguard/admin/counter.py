"""What the overview says of the counter, and a tier of its shadow limits: what was noted, no look.

Nothing here asks the store: one that hangs would take the desk along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import conf
from ..counters.connect import cluster_host, is_cluster
from ..models import Client, CounterOutage, ShadowCount, UntrustedProxy
from ..models.hourly_counts import ShadowCountQuerySet
from ..models.state import write_alias
from ..telemetry import proxies
from ..telemetry.formatting import format_time
from .words import a_day_before, principal_words

DAY = timedelta(days=1)
# Per page: who wants to see more looks into the log.
OUTAGES_SHOWN = 20
PRINCIPALS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage as the page says it: "away since 22:10", in which process."""

    process: str
    when: str
    lasts: bool


@dataclass(frozen=True, slots=True)
class CounterSeen:
    """Where limits are counted, and what went wrong with it in the last 24 hours."""

    where: str
    is_memory: bool
    outages: list[Outage]
    proxies: list[UntrustedProxy]


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What one shadow limit would have refused in 24 hours, and of whom most."""

    count: int
    most: tuple[tuple[str, int], ...]

    @property
    def words(self) -> str:
        """Such as "1,234 (Acme: 1,200; address 192.0.2.1: 34)"."""
        if not self.count:
            return _("nothing")
        return f"{self.count:,} ({'; '.join(f'{who}: {count:,}' for who, count in self.most)})"


def counter_seen() -> CounterSeen:
    """What was noted; three queries."""
    now = timezone.now()
    name = conf.current().counter
    outages = CounterOutage.objects.using(write_alias())
    open_now = outages.open(now)[:OUTAGES_SHOWN]
    ended = outages.ended_since(now - DAY, now)[:OUTAGES_SHOWN]
    return CounterSeen(
        where=_where(name),
        is_memory=name == "memory",
        outages=[*(_lasting(row, now) for row in open_now), *(_ended(row, now) for row in ended)],
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
    # A process that fell silent is taken to have ended then.
    began, ended = format_time(row.began_at, now), format_time(row.ended_at or row.seen_at, now)
    when = _("away from %(began)s to %(ended)s") % {"began": began, "ended": ended}
    return Outage(row.process, when, lasts=False)


def shadow_totals(limit_pks: Iterable[Any]) -> dict[Any, int]:
    """How many requests each of these limits would have refused, if any; one query."""
    rows = _counts_of_a_day().filter(limit_pk__in=list(limit_pks))
    return dict(rows.values_list("limit_pk").annotate(Sum("count")))


def shadowed(limit_pks: Iterable[Any]) -> dict[Any, Shadowed]:
    """The same, with whose requests they were.

    One query for all, one for each limit that has a number, one for names.
    """
    totals = shadow_totals(limit_pks)
    most = {
        pk: list(
            _counts_of_a_day()
            .filter(limit_pk=pk)
            .values_list("principal")
            .annotate(total=Sum("count"))
            .order_by("-total", "principal")[:PRINCIPALS_SHOWN]
        )
        for pk in totals
    }
    names = _client_names(who for entries in most.values() for who, _total in entries)
    return {
        pk: Shadowed(count, tuple((principal_words(who, names), n) for who, n in most[pk]))
        for pk, count in totals.items()
    }


def _counts_of_a_day() -> ShadowCountQuerySet:
    rows = ShadowCount.objects.using(write_alias()).order_by()
    return rows.since(a_day_before(timezone.now()))


def _client_names(principals: Iterable[str]) -> Mapping[str, str]:
    pks = {who.removeprefix("client:") for who in principals if who.startswith("client:")}
    known = Client._base_manager.using(write_alias())
    found = known.filter(pk__in=[pk for pk in pks if pk.isascii() and pk.isdigit()])
    return {str(pk): name for pk, name in found.values_list("pk", "name")}
