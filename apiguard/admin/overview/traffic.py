"""The numbers of the overview: refusals, requests per hour, shadow limits, clients, keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import Q, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from ... import conf
from ...counters.base import CounterUnavailable
from ...models import ApiKey, Client, HourlyCount, Limit, LimitOverride, Route, ShadowCount
from ...models.hourly_counts import hour_of
from ...models.state import write_alias
from ...models.usage import usage_rows
from ...policy.records import client_record
from ...policy.snapshot import Snapshot
from ...request import limit_use
from ...telemetry.formatting import format_moment
from ..display import first_hour_of_day, format_principal
from ..keys.pages import public_part
from ..row_links import may, row_url

DAY = timedelta(days=1)
SOON = timedelta(days=14)
KEYS_SHOWN = 10
PRINCIPALS_SHOWN = 3
SHADOW_ROWS = 300
BUSIEST = 5
# Of the graph, in units of its own.
BAR_WIDTH, GRAPH_HEIGHT = 12, 60


@dataclass(frozen=True, slots=True)
class Refusals:
    """Requests that one route refused, or would have refused, for one reason in 24 hours."""

    route: str
    url: str
    reason: str
    enforced: bool
    count: int
    before: int
    """The same in the 24 hours before."""

    @property
    def count_text(self) -> str:
        return f"{self.count:,}"

    @property
    def trend(self) -> str:
        """How many there were the day before, in words."""
        if not self.before:
            return _("none the day before")
        change = round(100 * (self.count - self.before) / self.before)
        return _("%(change)+d %% (%(before)s the day before)") % {
            "change": change,
            "before": f"{self.before:,}",
        }


def refusals(request: HttpRequest, site: AdminSite, routes: Iterable[Route]) -> list[Refusals]:
    """Return the refusals of a day, those of the busiest route first; one query."""
    names = {route.pk: route.name for route in routes}
    today = first_hour_of_day(timezone.now())
    rows = (
        HourlyCount.objects.order_by()
        .filter(hour__gte=today - DAY)
        .values_list("route_pk", "outcome", "enforced")
        .annotate(
            total=Sum("count", filter=Q(hour__gte=today), default=0),
            before=Sum("count", filter=Q(hour__lt=today), default=0),
        )
    )
    counted = [row for row in rows if row[3]]
    by_route: dict[int, int] = {}
    for pk, _outcome, _enforced, total, _before in counted:
        by_route[pk] = by_route.get(pk, 0) + total
    counted.sort(key=lambda row: (-by_route[row[0]], row[0], -row[3]))
    return [
        Refusals(
            route=names.get(pk) or str(_("a route that is gone") if pk else _("without a route")),
            url=row_url(request, site, "route", pk) if pk in names else "",
            reason=outcome.replace("_", " "),
            enforced=enforced,
            count=total,
            before=before,
        )
        for pk, outcome, enforced, total, before in counted
    ]


@dataclass(frozen=True, slots=True)
class Hour:
    """One bar of the graph of requests, and one line of its table."""

    when: str
    requests: str
    x: int
    y: int
    height: int


def requests_per_hour(request: HttpRequest) -> list[Hour]:
    """Return the last 24 hours, for users who may view usage; one query."""
    if not may(request, "view", "usage"):
        return []
    now = hour_of(timezone.now())
    first = now - timedelta(hours=23)
    rows = usage_rows().filter(is_day=False, start__gte=first).of_requests()
    counts = dict(rows.order_by().values_list("start").annotate(total=Sum("requests")))
    most = max(counts.values(), default=0)
    if not most:
        return []
    hours = [first + timedelta(hours=each) for each in range(24)]
    return [_hour(at, counts.get(at, 0), most, index) for index, at in enumerate(hours)]


def _hour(at: datetime, requests: int, most: int, index: int) -> Hour:
    height = -(-GRAPH_HEIGHT * requests // most)
    when = format_moment(at)
    return Hour(when, f"{requests:,}", BAR_WIDTH * index, GRAPH_HEIGHT - height, height)


@dataclass(frozen=True, slots=True)
class Shadow:
    """What one shadow limit would have refused in 24 hours, and of whom."""

    limit: Limit
    url: str
    count: str
    who: str


@dataclass(frozen=True, slots=True)
class Closest:
    """The limit of which a busy client has the least left."""

    name: str
    url: str
    limit: str
    used: str
    share: float


@dataclass(frozen=True, slots=True)
class People:
    """The callers who are near a limit, or over a shadow limit."""

    shadows: list[Shadow]
    closest: list[Closest]
    counter_away: str


def people(
    request: HttpRequest, site: AdminSite, limits: Sequence[Limit], snapshot: Snapshot | None
) -> People:
    """Return the callers over shadow limits, and the clients closest to a limit; three queries.

    Who called stands on the page of the tier too. How busy a client is takes ``view_usage``.
    """
    shadow = [each for each in limits if each.mode == Limit.Mode.SHADOW]
    by_limit = _shadow_counts(shadow if may(request, "view", "tier") else [])
    may_view_clients = may(request, "view", "client") and may(request, "view", "usage")
    busiest = _busiest_clients() if may_view_clients else []
    counted = [who for counts in by_limit.values() for who, _count in counts]
    named = {who.removeprefix("client:") for who in counted if who.startswith("client:")}
    pks = {int(pk) for pk in named if pk.isascii() and pk.isdigit()}
    clients = _read_clients(pks | set(busiest))
    names = {str(pk): client.name for pk, (client, _overrides) in clients.items()}
    shadows = [
        Shadow(
            limit=limit,
            url=row_url(request, site, "tier", limit.tier_id),
            count=f"{sum(count for _who, count in by_limit[limit.pk]):,}",
            who="; ".join(
                f"{format_principal(who, names)}: {count:,}"
                for who, count in by_limit[limit.pk][:PRINCIPALS_SHOWN]
            ),
        )
        for limit in limits
        if limit.pk in by_limit
    ]
    known = [clients[pk] for pk in busiest if pk in clients]
    closest: list[Closest] = []
    away = ""
    if snapshot is not None:
        closest, away = _closest(request, site, known, snapshot)
    return People(shadows, closest, away)


def _shadow_counts(limits: Sequence[Limit]) -> dict[int, list[tuple[str, int]]]:
    """Limit -> (principal, requests), the most first; of each route's callers the top ones."""
    if not limits:
        return {}
    rows = ShadowCount.objects.using(write_alias()).order_by()
    rows = rows.since(first_hour_of_day(timezone.now()))
    rows = rows.filter(limit_pk__in=[limit.pk for limit in limits])
    found: dict[int, list[tuple[str, int]]] = {}
    counts = rows.values_list("limit_pk", "principal").annotate(total=Sum("count"))
    for pk, principal, total in counts.order_by("-total", "principal")[:SHADOW_ROWS]:
        found.setdefault(pk, []).append((principal, total))
    return found


def _busiest_clients() -> list[int]:
    rows = usage_rows().filter(is_day=False, client_pk__gt=0).of_requests()
    rows = rows.filter(start__gte=hour_of(timezone.now()) - timedelta(hours=1))
    counts = rows.order_by().values_list("client_pk").annotate(total=Sum("requests"))
    return [pk for pk, _total in counts.order_by("-total")[:BUSIEST]]


def _read_clients(pks: Iterable[int]) -> dict[int, tuple[Client, list[LimitOverride]]]:
    """Return clients with their overrides, in one query."""
    columns = ("overrides__limit_id", "overrides__amount", "overrides__until")
    rows = Client._base_manager.using(write_alias()).filter(pk__in=list(pks))
    found: dict[int, tuple[Client, list[LimitOverride]]] = {}
    for row in rows.values("pk", "name", "slug", "tier_id", *columns):
        limit, amount, until = (row.pop(name) for name in columns)
        _client, overrides = found.setdefault(row["pk"], (Client(**row), []))
        if limit is not None:
            overrides.append(
                LimitOverride(client_id=row["pk"], limit_id=limit, amount=amount, until=until)
            )
    return found


def _closest(
    request: HttpRequest,
    site: AdminSite,
    busiest: Sequence[tuple[Client, list[LimitOverride]]],
    snapshot: Snapshot,
) -> tuple[list[Closest], str]:
    """Return the clients by the share of a limit that is used, and why that is not known."""
    found: list[Closest] = []
    for client, overrides in busiest:
        rules = limit_use.client_limits(snapshot, client_record(client, overrides))
        principal = limit_use.principal_of(client.pk)
        try:
            used = limit_use.read_use(conf.current(), principal, tuple(rules))
        except CounterUnavailable as error:
            return [], str(error)
        shares = [(one.used / one.limit.amount, one) for one in used.values()]
        if not shares:
            continue
        share, one = max(shares, key=lambda each: each[0])
        text = _("%(used)s of %(amount)s")
        amounts = {"used": f"{one.used:,}", "amount": f"{one.limit.amount:,}"}
        url = row_url(request, site, "client", client.pk)
        found.append(Closest(client.name, url, one.limit.name, text % amounts, share))
    return sorted(found, key=lambda each: -each.share), ""


@dataclass(frozen=True, slots=True)
class Expiring:
    """A key that ends within two weeks."""

    masked: str
    name: str
    client: str
    url: str
    when: str


def expiring_keys(request: HttpRequest, site: AdminSite) -> list[Expiring]:
    """Return the keys that end first, for users who may view keys; one query."""
    if not may(request, "view", "apikey"):
        return []
    now = timezone.now()
    rows = ApiKey._base_manager.using(write_alias()).select_related("client")
    rows = rows.filter(revoked_at=None, expires_at__gt=now, expires_at__lte=now + SOON)
    return [
        Expiring(
            masked=public_part(key),
            name=key.name,
            client=key.client.name,
            url=row_url(request, site, "apikey", key.pk),
            when=format_moment(key.expires_at),
        )
        for key in rows.order_by("expires_at")[:KEYS_SHOWN]
        if key.expires_at is not None
    ]


def tiers_by_route(
    snapshot: Snapshot | None, route: Route, limits: Mapping[Any, Sequence[Any]]
) -> list[str]:
    """Return the limits of callers with a credential at ``route``, by tier; no query."""
    if snapshot is None or route.mode == Route.Mode.OFF:
        return []
    of_tokens = {issuer.tier_pk for issuer in snapshot.issuers.values()}
    with_clients = {pk for pk, rows in limits.items() if rows[0].clients_in_tier}
    return [
        f"{tier.name}: {', '.join(limit.name for limit in found)}"
        for pk, tier in snapshot.tiers.items()
        if pk in of_tokens | with_clients and (found := tier.limits_at(route.pk))
    ]
