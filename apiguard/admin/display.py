"""Policy values as text, for lists and the overview. No query, no HTML by hand.

A row may hold any value: values written past the forms are shown unchanged,
because the page that lists problems must not fail because of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..errors import RateError
from ..models import Limit, Route, Tier

DASH = "-"

TONES = {
    "enforce": "good",
    "observe": "warn",
    "closed": "bad",
    "off": "quiet",
}


def badge(text: str, tone: str = "") -> SafeString:
    """Return ``text`` in a box; the colour carries no information of its own."""
    return format_html(
        '<span class="apiguard-badge apiguard-{}">{}</span>', tone or TONES.get(text, "quiet"), text
    )


def lines(items: Iterable[object]) -> SafeString | str:
    """Return one item per line; a dash for none."""
    return format_html_join("", '<span class="apiguard-line">{}</span>', ((i,) for i in items)) or (
        DASH
    )


def as_strings(value: object) -> list[str]:
    """Return the members of a list as strings; of any other value, its ``repr``."""
    return [str(item) for item in value] if isinstance(value, list) else [repr(value)]


def format_rate(limit: Limit) -> str:
    """Format the rate of a limit, such as "100 per minute"; an invalid one as stored."""
    try:
        return limit.rate
    except RateError:
        return f"{limit.amount} per {limit.period or limit.calendar or '?'}"


def format_limit(limit: Limit) -> str:
    """Format a limit, such as "10 per minute (only counted) on export"."""
    if limit.route_id is None or limit.route is None:
        return _counted(limit)
    return _("%(rate)s on %(route)s") % {"rate": _counted(limit), "route": limit.route.name}


def _counted(limit: Limit) -> str:
    rate = format_rate(limit)
    if limit.per == Limit.Per.CALLER_ROUTE:
        rate = _("%(rate)s, each route by itself") % {"rate": rate}
    if limit.mode != Limit.Mode.SHADOW:
        return rate
    return _("%(rate)s (only counted)") % {"rate": rate}


def format_tier_limits(tier: Tier | None, route_pk: Any = None) -> list[str]:
    """Format the limits of ``tier`` that apply to a route; needs ``limits`` prefetched."""
    return [] if tier is None else format_limits(tier.limits.all(), route_pk)


def format_limits(limits: Iterable[Limit], route_pk: Any) -> list[str]:
    """Format those of ``limits``, which are of one tier, that apply to a route."""
    at_this_route = (None, route_pk)
    return [_counted(limit) for limit in limits if limit.route_id in at_this_route]


def format_principal(principal: str, client_names: Mapping[str, str]) -> str:
    """Format a principal: a client's name, "address 192.0.2.1".

    Args:
        client_names: name by primary key, as text.
    """
    kind, _colon, rest = principal.partition(":")
    if kind == "client":
        return client_names.get(rest) or _("client %(pk)s (gone)") % {"pk": rest}
    if kind == "jwt":
        return _("token of %(subject)s") % {"subject": rest.partition(":")[2]}
    if kind == "user":
        return _("user %(pk)s") % {"pk": rest}
    if kind == "ip":
        return _("address %(address)s") % {"address": rest}
    return principal or _("others")


def format_size(size: int) -> str:
    """Format a number of bytes: "1 MiB", "1,000 bytes"."""
    for unit, length in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= length and size % length == 0:
            return f"{size // length:,} {unit}"
    return f"{size:,} bytes"


def format_scopes(route: Route) -> list[str]:
    """Format the required scopes of a route, each as "+ orders:read" without a line break."""
    return [f"+\u00a0{scope}" for scope in as_strings(route.required_scopes)]


def model_label(model_name: str) -> str:
    """Return the verbose name of a model of apiguard, such as "allowed origin"."""
    return str(apps.get_model("apiguard", model_name)._meta.verbose_name)


def format_content_rules(route: Route) -> list[str]:
    """Format the content rules of a route."""
    rules = [
        (_("methods"), ", ".join(as_strings(route.methods))),
        (_("takes"), ", ".join(as_strings(route.accepts))),
        (_("answers"), ", ".join(as_strings(route.produces))),
        (
            _("at most"),
            format_size(route.max_body_bytes) if route.max_body_bytes is not None else "",
        ),
        (_("costs"), str(route.cost) if route.cost != 1 else ""),
        (_("reserves"), _format_units(route.reserve)),
    ]
    return [f"{subject} {value}" for subject, value in rules if value]


def _format_units(reserve: object) -> str:
    """Format amounts by unit, such as "1,000 tokens"; anything else as stored."""
    if not isinstance(reserve, dict):
        return repr(reserve)
    return ", ".join(
        f"{amount:,} {unit}" if isinstance(amount, int) else f"{amount!r} {unit}"
        for unit, amount in reserve.items()
    )


def first_hour_of_day(now: datetime) -> datetime:
    """Return the hour in which the "24 hours" of hourly numbers begin."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
