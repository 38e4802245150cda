"""What the page of a client shows above its form: the answers to a customer's questions.

State, tier and limits with what is used now, keys, and the requests of the last 24
hours. A store that does not answer costs the page half a second, and is named there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from .. import conf
from ..counters.base import CounterUnavailable
from ..models import ApiKey, Client, Limit, LimitOverride
from ..policy.records import client_record
from ..request import limit_use
from ..request.reasons import format_limit as format_rule
from ..rules.limits import Counted
from ..rules.limits import Limit as LimitRule
from ..telemetry import usage_report
from ..telemetry.formatting import format_moment
from ..telemetry.usage_report import Selection, Totals
from .base import current_snapshot
from .display import as_strings, badge, format_limit
from .keys.pages import public_part
from .keys.state import state_badge
from .row_links import may, row_url

KEYS_SHOWN = 20
REASONS_SHOWN = 3


class Meter(NamedTuple):
    """How full a limit is, as the attributes of a ``meter`` element; text, never localized."""

    value: str
    most: str
    high: str

    @classmethod
    def of(cls, used: Counted) -> Meter:
        """Of more than the amount, which a view may settle, a meter shows all of it."""
        amount = used.limit.amount
        return cls(str(min(used.used, amount)), str(amount), str(amount * 4 // 5))


@dataclass(frozen=True, slots=True)
class ShownLimit:
    """One limit of the tier, as it is for this client now."""

    row: Limit
    rate: str
    in_force: str
    override: str
    used: str
    note: str
    left: str
    is_used_up: bool
    meter: Meter | None


@dataclass(frozen=True, slots=True)
class ShownKey:
    """One key; ``url`` is empty for who may not view it."""

    row: ApiKey
    masked: str
    url: str
    state: SafeString
    scopes: str
    networks: str


@dataclass(frozen=True, slots=True)
class LastDay:
    """Requests of the last 24 hours, and why most of the refused ones were refused."""

    totals: Totals
    reasons: list[tuple[str, str]]
    lost: int

    @property
    def texts(self) -> dict[str, str]:
        """The numbers as text; those that are zero are empty where the page leaves them out."""
        totals = self.totals
        return {
            "requests": f"{totals.requests:,}",
            "refused": f"{totals.refused:,}",
            "would_refuse": f"{totals.would_refuse:,}" if totals.would_refuse else "",
            "lost": f"{self.lost:,}" if self.lost else "",
        }


def support_context(request: HttpRequest, site: AdminSite, client: Client) -> dict[str, Any]:
    """Return what the template "client/support.html" shows of a client."""
    limits, away = _limits(client)
    is_limited = client.tier is not None
    return {
        "client": client,
        "enabled": badge(_("enabled"), "good") if client.enabled else badge(_("disabled"), "bad"),
        "tier_url": row_url(request, site, "tier", client.tier_id),
        "is_limited": is_limited,
        "is_broken": _is_broken(client),
        "limits": limits,
        "counter_away": away,
        "in_memory": conf.current().counter == "memory",
        "may_reset": request.user.has_perm("apiguard.reset_counters") and not away,
        **_keys(request, site, client),
        "last_day": _last_day(client) if request.user.has_perm("apiguard.view_usage") else None,
        "links": _links(request, site, client),
    }


def _is_broken(client: Client) -> bool:
    """Whether an error keeps the limits of the client's tier from being enforced."""
    snapshot = current_snapshot()
    tier = None if snapshot is None else snapshot.tiers.get(client.tier_id)
    return tier is not None and tier.broken


def _limits(client: Client) -> tuple[list[ShownLimit], str]:
    """Return the client's limits, and why what is used is not known; "" where it is."""
    snapshot = current_snapshot()
    if client.tier is None:
        return [], ""
    overrides = {row.limit_id: row for row in client.overrides.all()}
    rules: tuple[LimitRule, ...] = ()
    if snapshot is not None:
        rules = limit_use.client_limits(snapshot, client_record(client, overrides.values()))
    used: Mapping[str, Counted] = {}
    away = ""
    try:
        principal = limit_use.principal_of(client.pk)
        used = limit_use.read_use(conf.current(), principal, rules)
    except CounterUnavailable as error:
        away = str(error)
    routes = {} if snapshot is None else limit_use.route_names(snapshot)
    shown = []
    for row in client.tier.limits.select_related("route"):
        own = [rule for rule in rules if rule.pk == row.pk]
        counted = [used[rule.key] for rule in own if rule.key in used]
        # Of a limit that counts each route by itself, the route where most is used.
        most = max(counted, key=lambda one: one.used, default=None)
        where = "" if most is None else routes.get(most.limit.route_pk, "")
        shown.append(_limit(row, next(iter(own), None), overrides.get(row.pk), most, where))
    return shown, away


def counted_keys(client: Client, limit: Limit) -> list[str]:
    """Return the keys under which a limit of the client is counted, one per route if need be."""
    snapshot = current_snapshot()
    tier = None if snapshot is None else snapshot.tiers.get(client.tier_id)
    found = () if snapshot is None or tier is None else limit_use.on_each_route(tier, snapshot)
    return [one.key for one in found if one.pk == limit.pk] or [str(limit.pk)]


def _limit(
    row: Limit,
    rule: LimitRule | None,
    override: LimitOverride | None,
    used: Counted | None,
    where: str,
) -> ShownLimit:
    return ShownLimit(
        row=row,
        rate=format_limit(row),
        in_force="" if rule is None else format_rule(rule),
        override="" if override is None else _override(override),
        used="" if used is None else _used(used),
        note="" if used is None else _note(used, where),
        left="" if used is None else f"{used.remaining:,}",
        is_used_up=used is not None and not used.remaining,
        meter=None if used is None else Meter.of(used),
    )


def _used(one: Counted) -> str:
    if one.limit.kind == "concurrent":
        return _("%s in flight") % f"{one.used:,}"
    return f"{one.used:,} {one.limit.unit}" if one.limit.is_held else f"{one.used:,}"


def _note(one: Counted, where: str) -> str:
    """What the number contains, and of which route it is."""
    if not one.used:
        return ""
    notes = [_("the highest, on %s") % where] if where else []
    if one.limit.is_held and one.limit.kind != "concurrent":
        notes.append(_("what running requests reserve included"))
    return "; ".join(notes)


def _override(override: LimitOverride) -> str:
    if override.until is None:
        return _("override, for good")
    when = {"when": format_moment(override.until)}
    if has_expired(override):
        return _("override, expired %(when)s") % when
    return _("override until %(when)s") % when


def has_expired(override: LimitOverride) -> bool:
    """Whether the override has no effect any more."""
    return override.until is not None and override.until <= timezone.now()


def _keys(request: HttpRequest, site: AdminSite, client: Client) -> dict[str, Any]:
    if not may(request, "view", "apikey"):
        return {"keys": None}
    rows = client.keys.select_related("client").order_by("revoked_at", "-last_used_at", "name")
    now = timezone.now()
    found = list(rows[: KEYS_SHOWN + 1])
    changelist = reverse("admin:apiguard_apikey_changelist", current_app=site.name)
    add = reverse("admin:apiguard_apikey_add", current_app=site.name)
    return {
        "keys": [
            ShownKey(
                row=key,
                masked=public_part(key),
                url=row_url(request, site, "apikey", key.pk),
                state=state_badge(key, now),
                scopes=", ".join(as_strings(key.scopes)),
                networks=", ".join(as_strings(key.allowed_networks)),
            )
            for key in found[:KEYS_SHOWN]
        ],
        "has_more_keys": len(found) > KEYS_SHOWN,
        "keys_url": f"{changelist}?client__id__exact={client.pk}",
        "add_key_url": f"{add}?client={client.pk}"
        if request.user.has_perm("apiguard.add_apikey")
        else "",
    }


def _last_day(client: Client) -> LastDay:
    selection = Selection.of_days(1, client_pk=client.pk)
    refused = usage_report.shares(selection, ["outcome"], by="refused", most=REASONS_SHOWN)
    return LastDay(
        usage_report.totals(selection),
        [
            (
                share.key[0].replace("_", " "),
                f"{share.totals.refused + share.totals.would_refuse:,}",
            )
            for share in refused
        ],
        selection.lost(),
    )


def _links(request: HttpRequest, site: AdminSite, client: Client) -> list[tuple[str, str]]:
    wanted = (
        ("explain_request", "apiguard_explain", _("Explain a request of this client"), "client"),
        ("view_refusal", "apiguard_refusal_changelist", _("Its refused requests"), "client"),
        ("view_usage", "apiguard_usage", _("Its usage"), "client"),
    )
    links = []
    for permission, name, label, parameter in wanted:
        try:
            url = reverse(f"admin:{name}", current_app=site.name)
        except NoReverseMatch:
            continue
        if request.user.has_perm(f"apiguard.{permission}"):
            links.append((label, f"{url}?{urlencode({parameter: client.slug})}"))
    return links
