"""Routes, with everything that they refer to.

A route with an error, or whose tier, limit or header policy has one, is
broken: requests below it are answered 503 until somebody mends the row.

Each row is compiled by itself, then each prefix is linked: the rows that name
it, with what they refer to. A prefix is linked anew where any of these changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import BrokenReference, PathError, RateError
from ...models import Limit, Route
from ...rules.media import parse_media_range, parse_media_type
from ...rules.paths import normalise_prefix
from ...rules.rates import IN_FLIGHT
from ..groups import pk_order
from ..pacing import paced
from ..rows import Delta, Problems, missing
from ..snapshot import Cors, Part, RouteHeaders, RoutePolicy, RowProblem, TierPolicy


@dataclass(frozen=True, slots=True)
class References:
    """What routes refer to, by primary key; and what of it was compiled anew.

    Attributes:
        limits: those that are for single routes.
        moved: by column of a route, primary keys of what is another object now.
        limited: primary keys of the routes whose own limits changed.
    """

    cors: Mapping[Any, Part[Cors | None]]
    headers: Mapping[Any, Part[RouteHeaders | None]]
    tiers: Mapping[Any, TierPolicy]
    limits: Iterable[Limit]
    moved: Mapping[str, frozenset[Any]]
    limited: frozenset[Any]


_MISSING: Part[None] = Part(None, ())


@dataclass(frozen=True, slots=True)
class Prefix:
    """One path prefix, linked; ``None`` where all its rows are off, or name no prefix."""

    first: Any
    route: RoutePolicy | None
    problems: tuple[RowProblem, ...]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A row by itself; without its policy if that row is missing."""

    row: Route
    problems: tuple[RowProblem, ...]
    policy: RoutePolicy | None

    @property
    def prefix(self) -> str | None:
        return None if self.policy is None else self.policy.prefix


@dataclass(frozen=True, slots=True)
class Routes:
    """All routes, compiled, by primary key and by prefix."""

    drafts: dict[Any, _Draft] = field(default_factory=dict)
    prefixes: dict[str | None, Prefix] = field(default_factory=dict)

    def came_or_went(self, delta: Delta) -> frozenset[Any]:
        """Return primary keys of the routes that are new, or gone."""
        new = {row.pk for row in delta.written.routes} - self.drafts.keys()
        return frozenset(new) | (delta.gone("routes") & self.drafts.keys())

    def drafted(self, delta: Delta) -> tuple[Routes, set[str | None]]:
        """Return a successor with the written rows, and the prefixes that these concern."""
        touched: set[str | None] = set()
        drafts = dict(self.drafts)
        for pk in delta.gone("routes"):
            if (old := drafts.pop(pk, None)) is not None:
                touched.add(old.prefix)
        for row in paced(delta.written.routes):
            if (old := drafts.get(row.pk)) is not None:
                touched.add(old.prefix)
            drafts[row.pk] = new = _draft(row)
            touched.add(new.prefix)
        return (replace(self, drafts=drafts), touched) if touched else (self, touched)

    def linked(self, touched: set[str | None], references: References) -> Routes:
        """A successor whose touched prefixes, and those with other references, are linked anew."""
        touched = touched | {
            draft.prefix for draft in self.drafts.values() if _refers_to_moved(draft, references)
        }
        if not touched:
            return self
        named: dict[str | None, list[_Draft]] = {prefix: [] for prefix in touched}
        for draft in self.drafts.values():
            if draft.prefix in named:
                named[draft.prefix].append(draft)
        limits: dict[Any, list[Limit]] = {
            draft.row.pk: [] for drafts in named.values() for draft in drafts
        }
        for limit in references.limits:
            if limit.route_id in limits:
                limits[limit.route_id].append(limit)
        prefixes = dict(self.prefixes)
        for prefix, drafts in paced(named.items()):
            prefixes.pop(prefix, None)
            if drafts:
                drafts.sort(key=lambda draft: pk_order(draft.row.pk))
                prefixes[prefix] = _link(drafts, limits, references)
        return replace(self, prefixes=prefixes)


def _refers_to_moved(draft: _Draft, references: References) -> bool:
    row = draft.row
    return row.pk in references.limited or any(
        getattr(row, column) in moved for column, moved in references.moved.items()
    )


def _draft(row: Route) -> _Draft:
    problems = Problems()
    own = problems.of(row)
    wrong = {problem.error.field for problem in own}
    prefix = _meant_prefix(row.path_prefix)
    if prefix is None:
        # The problem is shown and logged.
        return _Draft(row, tuple(own), None)
    # Of a row with an error no rule can be trusted; it refuses everything anyway.
    methods = [] if own else list(row.methods)
    if "GET" in methods and "HEAD" not in methods:
        methods.insert(methods.index("GET") + 1, "HEAD")
    accepts = [] if own else [parse_media_range(item) for item in row.accepts]
    produces = [] if own else [parse_media_type(item) for item in row.produces]
    policy = RoutePolicy(
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
        reserve=() if own else tuple(sorted(row.reserve.items())),
        anonymous_tier=row.anonymous_tier_id,
        user_tier=row.user_tier_id,
        broken=tuple(own),
    )
    return _Draft(row, tuple(own), policy)


def _link(
    drafts: Sequence[_Draft], limits: Mapping[Any, Sequence[Limit]], references: References
) -> Prefix:
    problems = Problems()
    linked: RoutePolicy | None = None
    for draft in drafts:
        problems.found += draft.problems
        if draft.policy is None:
            continue
        route = _with_references(draft.row, draft.policy, references, problems)
        if route.mode != Route.Mode.OFF:
            linked = _alone(route, linked, draft.row, problems)
    if linked is not None:
        linked = _with_costs(linked, limits[linked.pk], problems)
        linked = _broken_by_tiers(linked, references.tiers)
    return Prefix(drafts[0].row.pk, linked, tuple(problems.found))


def _with_references(
    row: Route, route: RoutePolicy, references: References, problems: Problems
) -> RoutePolicy:
    cors = references.cors.get(row.cors_policy_id, _MISSING).value
    headers = references.headers.get(row.header_policy_id, _MISSING)
    dangling = missing(
        ("cors_policy", row.cors_policy_id, () if cors is None else (row.cors_policy_id,)),
        (
            "header_policy",
            row.header_policy_id,
            () if headers.value is None else (row.header_policy_id,),
        ),
        ("anonymous_tier", row.anonymous_tier_id, references.tiers),
        ("user_tier", row.user_tier_id, references.tiers),
    )
    noted = problems.of(row, dangling)
    wrong_headers = () if headers.value is None else headers.problems
    return replace(
        route,
        cors=cors,
        headers=headers.value or RouteHeaders(),
        broken=(*route.broken, *noted, *wrong_headers),
    )


def _meant_prefix(text: object) -> str | None:
    """Return the canonical prefix, or the path that an invalid one most likely means.

    A mistake in it must not leave unguarded what it was to guard: "/api/*" is
    taken for "/api/", and "/api/?x" too. Nothing at all is not taken for
    everything, because that would cut off the admin itself.
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
    """Two rows for one prefix: nothing shows which one is meant, so it is broken."""
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


def _with_costs(route: RoutePolicy, limits: Iterable[Limit], problems: Problems) -> RoutePolicy:
    """Return the route; it is broken by each limit that no request of it fits into."""
    noted: list[RowProblem] = []
    for limit in sorted(limits, key=lambda limit: pk_order(limit.pk)):
        if limit.problems():
            continue
        cost = route.cost_of(limit.unit if limit.kind != Limit.Kind.CONCURRENT else IN_FLIGHT)
        if cost is None or cost <= limit.amount:
            continue
        error = RateError(
            "cost_above_amount",
            limit.amount,
            f"One request of {route.name!r} costs {cost} {limit.unit}; this limit admits "
            f"{limit.amount}.",
            "Raise the amount, or lower what the route costs or reserves.",
            field="amount",
        )
        noted += problems.of(limit, [error])
    return replace(route, broken=(*route.broken, *noted)) if noted else route


def _broken_by_tiers(route: RoutePolicy, tiers: Mapping[Any, TierPolicy]) -> RoutePolicy:
    """Return the route; it is broken by each of its tiers that is broken."""
    for field_name in ("anonymous_tier", "user_tier"):
        tier = tiers.get(getattr(route, field_name))
        if tier is not None and tier.broken:
            error = BrokenReference(
                "broken_tier",
                tier.slug,
                f"The tier {tier.name!r} has a limit that cannot be counted.",
                "Mend the tier's limits.",
                field=field_name,
            )
            noted = RowProblem("route", route.pk, route.name, error)
            route = replace(route, broken=(*route.broken, noted))
    return route
