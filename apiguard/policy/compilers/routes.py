"""Routes, with everything that they refer to.

A route with an error, or whose tier, limit or header policy has one, is
broken: requests below it are answered 503 until somebody mends the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...errors import BrokenReference, PathError, RateError
from ...models import Route
from ...rules.media import parse_media_range, parse_media_type
from ...rules.paths import normalise_prefix
from ..rows import Problems, Rows, missing
from ..snapshot import Cors, RouteHeaders, RoutePolicy, RowProblem, TierPolicy
from .headers import Headers


def routes(
    rows: Rows,
    cors: Mapping[Any, Cors],
    headers: Mapping[Any, Headers],
    tiers: Mapping[Any, TierPolicy],
    problems: Problems,
) -> dict[str, RoutePolicy]:
    """All routes that are not switched off, by prefix."""
    compiled: dict[str, RoutePolicy] = {}
    for row in rows.routes:
        route = _route(row, cors, headers, tiers, problems)
        if route is not None and route.mode != Route.Mode.OFF:
            compiled[route.prefix] = _alone(route, compiled.get(route.prefix), row, problems)
    _check_costs(rows, compiled, problems)
    return _break_dependants(compiled, tiers)


def _route(
    row: Route,
    cors: Mapping[Any, Cors],
    headers: Mapping[Any, Headers],
    tiers: Mapping[Any, TierPolicy],
    problems: Problems,
) -> RoutePolicy | None:
    own = problems.of(row)
    wrong = {problem.error.field for problem in own}
    prefix = _meant_prefix(row.path_prefix)
    if prefix is None:
        return None  # Where it points cannot be told; the problem is shown and logged.
    dangling = missing(
        ("cors_policy", row.cors_policy_id, cors),
        ("header_policy", row.header_policy_id, headers),
        ("anonymous_tier", row.anonymous_tier_id, tiers),
        ("user_tier", row.user_tier_id, tiers),
    )
    writes, header_problems = headers.get(row.header_policy_id, (RouteHeaders(), []))
    # Of a row with an error no rule can be trusted; it refuses everything anyway.
    methods = [] if own else list(row.methods)
    if "GET" in methods and "HEAD" not in methods:
        methods.insert(methods.index("GET") + 1, "HEAD")
    accepts = [] if own else [parse_media_range(item) for item in row.accepts]
    produces = [] if own else [parse_media_type(item) for item in row.produces]
    return RoutePolicy(
        pk=row.pk,
        name=row.name,
        prefix=prefix,
        mode=row.mode if "mode" not in wrong else Route.Mode.ENFORCE,
        access=row.access,
        required_scopes=() if own else tuple(sorted(row.required_scopes)),
        methods=frozenset(methods),
        allow=", ".join(methods),
        accepts=tuple(accepts),
        accept=", ".join(item.text for item in accepts),
        produces=tuple(produces),
        max_body_bytes=None if own else row.max_body_bytes,
        cost=1 if own else row.cost,
        cors=cors.get(row.cors_policy_id),
        headers=writes,
        anonymous_tier=row.anonymous_tier_id,
        user_tier=row.user_tier_id,
        broken=(*own, *problems.of(row, dangling), *header_problems),
    )


def _meant_prefix(text: object) -> str | None:
    """The canonical prefix, or where one that slipped in most likely points.

    A mistake in it must not leave unguarded what it was to guard: "/api/*" is
    taken for "/api/", and "/api/?x" too. Nothing at all is not taken for
    everything, because that would cut off the desk itself.
    """
    if not isinstance(text, str):
        return None
    suggestion = None
    try:
        return normalise_prefix(text)
    except PathError as error:
        suggestion = error.suggestion
    segments = [part for part in text.strip().split("/") if part]
    shorter = ("/".join(["", *segments[:end], ""]) for end in range(len(segments), 0, -1))
    for candidate in (suggestion, *shorter):
        if candidate and candidate != "/" and _is_prefix(candidate):
            return normalise_prefix(candidate)
    return None


def _is_prefix(text: str) -> bool:
    try:
        normalise_prefix(text)
    except PathError:
        return False
    return True


def _alone(
    route: RoutePolicy, other: RoutePolicy | None, row: Route, problems: Problems
) -> RoutePolicy:
    """Two rows for one prefix: which one is meant cannot be told, so it is broken."""
    if other is None:
        return route
    error = PathError(
        "duplicate_prefix",
        row.path_prefix,
        f"{other.name!r} has the same path prefix.",
        "Remove one of them.",
        field="path_prefix",
    )
    enforced = route if route.enforced else other
    broken = (*route.broken, *other.broken, *problems.of(row, [error]))
    return replace(enforced, broken=broken)


def _check_costs(rows: Rows, routes: dict[str, RoutePolicy], problems: Problems) -> None:
    """A per-route limit that no request of its route fits into is an error."""
    costs = {route.pk: route for route in routes.values()}
    for limit in rows.limits:
        route = costs.get(limit.route_id)
        if route is None or limit.problems() or route.cost <= limit.amount:
            continue
        error = RateError(
            "cost_above_amount",
            limit.amount,
            f"One request of {route.name!r} costs {route.cost}; this limit admits {limit.amount}.",
            "Raise the amount, or lower the route's cost.",
            field="amount",
        )
        noted = problems.of(limit, [error])
        routes[route.prefix] = replace(route, broken=(*route.broken, *noted))


def _break_dependants(
    routes: Mapping[str, RoutePolicy], tiers: Mapping[Any, TierPolicy]
) -> dict[str, RoutePolicy]:
    """Routes whose tier is broken are broken, and say so."""
    result = {}
    for prefix, route in routes.items():
        for field in ("anonymous_tier", "user_tier"):
            tier = tiers.get(getattr(route, field))
            if tier is not None and tier.broken:
                error = BrokenReference(
                    "broken_tier",
                    tier.slug,
                    f"The tier {tier.name!r} has a limit that cannot be counted.",
                    "Mend the tier's limits.",
                    field=field,
                )
                noted = RowProblem("route", route.pk, route.name, error)
                route = replace(route, broken=(*route.broken, noted))
        result[prefix] = route
    return result
