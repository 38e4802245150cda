"""Rows -> snapshot and errors. Pure: attributes of rows in, frozen objects out.

A bad row never loosens policy and never delays the others. An origin, key,
client or issuer with an error matches nothing. A route with an error, or
whose tier, limit or header policy has one, is broken: requests below it are
answered 503 until somebody mends the row.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .. import conf
from ..errors import BrokenReference, PathError, PolicyError, RateError
from ..models import (
    AllowedOrigin,
    CorsPolicy,
    HeaderPolicy,
    JwtIssuer,
    Limit,
    LimitOverride,
    PolicyModel,
    ResponseHeader,
    Route,
    Tier,
)
from ..rules import origins as origin_rules
from ..rules.headers import SAFELISTED_METHODS
from ..rules.jwt import TokenRules, prepare_key
from ..rules.limits import Limit as CountedLimit
from ..rules.media import parse_media_range, parse_media_type
from ..rules.paths import PrefixTable, normalise_prefix
from .records import aware
from .snapshot import (
    Cors,
    HeaderRule,
    IssuerPolicy,
    Override,
    RoutePolicy,
    RowProblem,
    Snapshot,
    TierPolicy,
)


@dataclass(frozen=True, slots=True)
class Rows:
    """All policy rows but clients and keys, as model instances, relations by id."""

    routes: tuple[Route, ...] = ()
    cors_policies: tuple[CorsPolicy, ...] = ()
    origins: tuple[AllowedOrigin, ...] = ()
    header_policies: tuple[HeaderPolicy, ...] = ()
    headers: tuple[ResponseHeader, ...] = ()
    tiers: tuple[Tier, ...] = ()
    limits: tuple[Limit, ...] = ()
    overrides: tuple[LimitOverride, ...] = ()
    issuers: tuple[JwtIssuer, ...] = ()


class _Problems:
    """Collects what is wrong, row by row."""

    def __init__(self) -> None:
        self.found: list[RowProblem] = []

    def of(self, row: PolicyModel, errors: Iterable[PolicyError] | None = None) -> list[RowProblem]:
        """Note the row's own errors, or these ones; return what was noted."""
        noted = [
            RowProblem(row._meta.model_name or "", row.pk, _name(row), error)
            for error in (row.problems() if errors is None else errors)
        ]
        self.found += noted
        return noted


def _name(row: PolicyModel) -> str:
    try:
        return str(row)
    except (TypeError, ValueError):  # What it is called by is not text.
        return f"#{row.pk}"


def compile_rows(rows: Rows, *, revision: int = 0, stamp: str = "") -> Snapshot:
    """All rows of one revision, compiled; never raises for what a row says."""
    problems = _Problems()
    cors = _cors_policies(rows, problems)
    headers = _header_policies(rows, problems)
    tiers = _tiers(rows, problems)
    routes: dict[str, RoutePolicy] = {}
    for row in rows.routes:
        route = _route(row, cors, headers, tiers, problems)
        if route is not None and route.mode != Route.Mode.OFF:
            routes[route.prefix] = _alone(route, routes.get(route.prefix), row, problems)
    _check_costs(rows, routes, problems)
    return Snapshot(
        revision=revision,
        stamp=stamp,
        routes=PrefixTable(_break_dependants(routes, tiers)),
        tiers=tiers,
        tiers_by_slug={tier.slug: tier for tier in tiers.values()},
        issuers=_issuers(rows, problems),
        overrides=_overrides(rows, problems),
        problems=tuple(problems.found),
    )


def _cors_policies(rows: Rows, problems: _Problems) -> dict[Any, Cors]:
    by_policy: dict[Any, list[AllowedOrigin]] = {}
    for origin in rows.origins:
        if origin.enabled and not problems.of(origin):
            by_policy.setdefault(origin.policy_id, []).append(origin)
    return {row.pk: _cors(row, by_policy.get(row.pk, []), problems) for row in rows.cors_policies}


def _cors(row: CorsPolicy, origins: list[AllowedOrigin], problems: _Problems) -> Cors:
    broken = bool(problems.of(row))
    methods = [] if broken else row.allowed_methods
    headers = [] if broken else row.allowed_headers
    exposed = [] if broken else row.exposed_headers
    preflight = [
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        ("Access-Control-Allow-Headers", ", ".join(headers)),
        ("Access-Control-Max-Age", str(row.max_age)),
    ]
    return Cors(
        pk=row.pk,
        name=row.name,
        origins=origin_rules.OriginSet(() if broken else _permitted(row, origins, problems)),
        methods=SAFELISTED_METHODS | frozenset(methods),
        headers=frozenset(name.lower() for name in headers),
        allow_credentials=row.allow_credentials and not broken,
        refuse_foreign=row.refuse_foreign_origins or broken,
        preflight_headers=tuple((name, value) for name, value in preflight if value),
        exposed_headers=", ".join(exposed),
    )


def _permitted(
    row: CorsPolicy, origins: list[AllowedOrigin], problems: _Problems
) -> tuple[origin_rules.OriginPattern, ...]:
    patterns = {}
    for origin in origins:
        pattern = origin_rules.parse_pattern(origin.pattern)
        patterns[pattern.text] = (pattern, origin)
    refused = origin_rules.check_patterns(
        [pattern for pattern, _ in patterns.values()],
        allow_credentials=row.allow_credentials,
        allow_insecure=row.dangerously_allow_insecure_origins,
        allow_public_suffixes=row.dangerously_allow_public_suffixes,
    )
    for error in refused:
        dropped = patterns.pop(str(error.value), None)
        if dropped is not None:
            problems.of(dropped[1], [error.at("pattern")])
    return tuple(pattern for pattern, _ in patterns.values())


def _header_policies(
    rows: Rows, problems: _Problems
) -> dict[Any, tuple[tuple[HeaderRule, ...], list[RowProblem]]]:
    policies: dict[Any, tuple[list[HeaderRule], list[RowProblem]]] = {
        row.pk: ([], problems.of(row)) for row in rows.header_policies
    }
    for row in rows.headers:
        wrong = problems.of(row)
        if row.policy_id not in policies:
            continue
        rules, broken = policies[row.policy_id]
        broken += wrong
        https_only = row.condition == ResponseHeader.Condition.HTTPS
        if not wrong:
            rules.append(HeaderRule(row.name, row.value, https_only, row.mode))
    return {pk: (tuple(rules), broken) for pk, (rules, broken) in policies.items()}


def _tiers(rows: Rows, problems: _Problems) -> dict[Any, TierPolicy]:
    limits: dict[Any, list[Limit]] = {}
    broken = {row.pk for row in rows.tiers if problems.of(row)}
    routes = {row.pk for row in rows.routes}
    for limit in rows.limits:
        if problems.of(limit) or problems.of(limit, _missing(("route", limit.route_id, routes))):
            broken.add(limit.tier_id)
        else:
            limits.setdefault(limit.tier_id, []).append(limit)
    return {row.pk: _tier(row, limits.get(row.pk, []), row.pk in broken) for row in rows.tiers}


def _tier(row: Tier, limits: list[Limit], broken: bool) -> TierPolicy:
    counted = [(_limit(limit), limit.route_id) for limit in limits]
    routes = {route for _, route in counted if route is not None}
    return TierPolicy(
        pk=row.pk,
        slug=row.slug,
        name=row.name,
        limits=tuple(limit for limit, _ in counted),
        route_of={limit.pk: route for limit, route in counted if route is not None},
        by_route={
            at: tuple(limit for limit, route in counted if route in (None, at)) for at in routes
        },
        everywhere=tuple(limit for limit, route in counted if route is None),
        broken=broken,
    )


def _limit(row: Limit) -> CountedLimit:
    return CountedLimit(
        pk=row.pk,
        name=row.name,
        kind="window" if row.kind == Limit.Kind.WINDOW else "quota",
        amount=row.amount,
        period=row.period or 0,
        calendar=row.calendar,  # type: ignore[arg-type]
        shadow=row.mode == Limit.Mode.SHADOW,
        on_store_failure=row.on_store_failure,
    )


def _route(
    row: Route,
    cors: Mapping[Any, Cors],
    headers: Mapping[Any, tuple[tuple[HeaderRule, ...], list[RowProblem]]],
    tiers: Mapping[Any, TierPolicy],
    problems: _Problems,
) -> RoutePolicy | None:
    own = problems.of(row)
    wrong = {problem.error.field for problem in own}
    prefix = _meant_prefix(row.path_prefix)
    if prefix is None:
        return None  # No request can have this prefix, so nothing is left unguarded by it.
    missing = _missing(
        ("cors_policy", row.cors_policy_id, cors),
        ("header_policy", row.header_policy_id, headers),
        ("anonymous_tier", row.anonymous_tier_id, tiers),
        ("user_tier", row.user_tier_id, tiers),
    )
    rules, header_problems = headers.get(row.header_policy_id, ((), []))
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
        headers=rules,
        anonymous_tier=row.anonymous_tier_id,
        user_tier=row.user_tier_id,
        broken=(*own, *problems.of(row, missing), *header_problems),
    )


def _missing(*references: tuple[str, Any, Container[Any]]) -> list[PolicyError]:
    """One mistake for every (field, primary key, known ones) that points at nothing."""
    return [
        BrokenReference("missing_row", pk, "The row it refers to is missing.", "", field=field)
        for field, pk, known in references
        if pk is not None and pk not in known
    ]


def _meant_prefix(text: object) -> str | None:
    """The canonical prefix, or where a slipped-in one like "api//" most likely points."""
    if not isinstance(text, str):
        return None
    for candidate in (text, "/" + "/".join(part for part in text.strip().split("/") if part)):
        try:
            return normalise_prefix(candidate)
        except PathError:
            continue
    return None


def _alone(
    route: RoutePolicy, other: RoutePolicy | None, row: Route, problems: _Problems
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


def _check_costs(rows: Rows, routes: dict[str, RoutePolicy], problems: _Problems) -> None:
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


def _issuers(rows: Rows, problems: _Problems) -> dict[str, IssuerPolicy]:
    secrets = conf.current().jwt_secrets
    return {
        row.issuer: IssuerPolicy(
            pk=row.pk,
            name=row.name,
            rules=TokenRules(
                issuer=row.issuer,
                audiences=frozenset(row.audiences),
                algorithms=frozenset(row.algorithms),
                leeway=row.leeway,
                token_types=_token_types(row.token_types),
                max_lifetime=row.max_lifetime,
            ),
            keys={name: prepare_key(secrets[row.secret_name], name) for name in row.algorithms},
            secret_name=row.secret_name,
            tier_pk=row.tier_id,
            tier_claim=row.tier_claim,
            scope_claim=row.scope_claim,
            user_field=row.user_field,
        )
        for row in rows.issuers
        if row.enabled and not problems.of(row)
    }


def _token_types(listed: list[str]) -> tuple[str, ...]:
    """As ``TokenRules`` wants them: "" stands for a token without a type."""
    return tuple("" if item.lower() == "none" else item for item in listed or ["JWT", "none"])


def _overrides(rows: Rows, problems: _Problems) -> dict[Any, dict[int, Override]]:
    overrides: dict[Any, dict[int, Override]] = {}
    for row in rows.overrides:
        if not problems.of(row):
            mine = overrides.setdefault(row.client_id, {})
            mine[row.limit_id] = Override(row.amount, aware(row.until))
    return overrides
