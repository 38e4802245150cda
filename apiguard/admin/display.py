"""Policy in words, as lists and the overview show it. No query, no HTML by hand.

Rows may say anything: what slipped in past the forms is shown as it stands,
because the page that lists mistakes must not fall over them.
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
    "off": "quiet",
}


def badge(text: str, tone: str = "") -> SafeString:
    """``text`` in a box; the colour repeats what the text says, never more."""
    return format_html(
        '<span class="apiguard-badge apiguard-{}">{}</span>', tone or TONES.get(text, "quiet"), text
    )


def lines(items: Iterable[object]) -> SafeString | str:
    """One item per line; a dash for none."""
    return format_html_join("", '<span class="apiguard-line">{}</span>', ((i,) for i in items)) or (
        DASH
    )


def as_strings(value: object) -> list[str]:
    """The members of a list of strings; of anything else, how it looks."""
    return [str(item) for item in value] if isinstance(value, list) else [repr(value)]


def format_rate(limit: Limit) -> str:
    """Such as "100 per minute"; what cannot be counted, as it stands."""
    try:
        return limit.rate
    except RateError:
        return f"{limit.amount} per {limit.period or limit.calendar or '?'}"


def format_limit(limit: Limit) -> str:
    """Such as "10 per minute (only counted) on export"."""
    if limit.route_id is None or limit.route is None:
        return _counted(limit)
    return _("%(rate)s on %(route)s") % {"rate": _counted(limit), "route": limit.route.name}


def _counted(limit: Limit) -> str:
    if limit.mode != Limit.Mode.SHADOW:
        return format_rate(limit)
    return _("%(rate)s (only counted)") % {"rate": format_rate(limit)}


def format_tier_limits(tier: Tier | None, route_pk: Any = None) -> list[str]:
    """The limits of ``tier`` that count at a route; needs ``limits`` prefetched."""
    if tier is None:
        return []
    at_this_route = (None, route_pk)
    return [_counted(limit) for limit in tier.limits.all() if limit.route_id in at_this_route]


def format_route_limits(route: Route) -> list[str]:
    """Who is counted by what at ``route``; needs the tiers' ``limits`` prefetched.

    Only where the project says who is signed in does the users' tier count anybody.
    """
    result = [f"anonymous: {limit}" for limit in format_tier_limits(route.anonymous_tier, route.pk)]
    if route.access == Route.Access.APPLICATION:
        result += [f"users: {limit}" for limit in format_tier_limits(route.user_tier, route.pk)]
    return result


def format_principal(principal: str, client_names: Mapping[str, str]) -> str:
    """Who was counted, as people know them: a client's name, "address 192.0.2.1".

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
    """Bytes as people say them: "1 MiB", "1,000 bytes"."""
    for unit, length in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= length and size % length == 0:
            return f"{size // length:,} {unit}"
    return f"{size:,} bytes"


def format_scopes(route: Route) -> list[str]:
    """What a credential needs besides being one: "+ orders:read", unbroken."""
    return [f"+\u00a0{scope}" for scope in as_strings(route.required_scopes)]


def model_label(model_name: str) -> str:
    """How people call the rows of a model of apiguard: "allowed origin"."""
    return str(apps.get_model("apiguard", model_name)._meta.verbose_name)


def format_content_rules(route: Route) -> list[str]:
    """What a route checks about requests before anything else."""
    rules = [
        (_("methods"), ", ".join(as_strings(route.methods))),
        (_("takes"), ", ".join(as_strings(route.accepts))),
        (_("answers"), ", ".join(as_strings(route.produces))),
        (
            _("at most"),
            format_size(route.max_body_bytes) if route.max_body_bytes is not None else "",
        ),
        (_("costs"), str(route.cost) if route.cost != 1 else ""),
    ]
    return [f"{subject} {value}" for subject, value in rules if value]


def first_hour_of_day(now: datetime) -> datetime:
    """Where the "24 hours" of hourly numbers begin."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
