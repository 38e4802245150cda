"""Tiers with their limits, each compiled by itself."""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

from ...models import Limit, Tier
from ...rules.limits import Limit as CountedLimit
from ...rules.rates import IN_FLIGHT, REQUESTS
from ..groups import Group, Groups, Writes
from ..pacing import paced
from ..rows import Delta, Problems, missing
from ..snapshot import Part, TierPolicy


@dataclass(frozen=True, slots=True)
class Tiers:
    """All tiers, compiled. A part is ``None`` for limits of a tier that is missing."""

    groups: Groups[Tier, Limit] = field(default_factory=Groups)
    parts: dict[Any, Part[TierPolicy | None]] = field(default_factory=dict)

    def after(
        self, delta: Delta, routes: Container[Any], routes_moved: Collection[Any]
    ) -> tuple[Tiers, set[Any]]:
        """Return a successor, and the primary keys of the tiers that were compiled anew.

        Args:
            routes: primary keys of all routes.
            routes_moved: of those that came or went.
        """
        written = delta.written
        groups, touched = self.groups.after(
            Writes(written.tiers, delta.gone("tiers")),
            Writes(written.limits, delta.gone("limits")),
            "tier_id",
        )
        if routes_moved:
            touched |= {
                limit.tier_id for limit in groups.members() if limit.route_id in routes_moved
            }
        if not touched:
            return self, touched
        parts = dict(self.parts)
        for pk in paced(touched):
            parts.pop(pk, None)
            if pk in groups.by_pk:
                parts[pk] = _part(groups.by_pk[pk], routes)
        return replace(self, groups=groups, parts=parts), touched


def _part(group: Group[Tier, Limit], routes: Container[Any]) -> Part[TierPolicy | None]:
    problems = Problems()
    broken = group.row is not None and bool(problems.of(group.row))
    good = []
    for limit in group.members:
        if problems.of(limit) or problems.of(limit, missing(("route", limit.route_id, routes))):
            broken = True
        else:
            good.append(limit)
    policy = None if group.row is None else _tier(group.row, good, broken)
    return Part(policy, tuple(problems.found))


def _tier(row: Tier, limits: list[Limit], broken: bool) -> TierPolicy:
    # With its place in the tier, whose order the limits of every route keep.
    everywhere: list[tuple[int, CountedLimit]] = []
    at_routes: dict[Any, list[tuple[int, CountedLimit]]] = {}
    for place, limit in enumerate(limits):
        at = limit.route_id
        where = everywhere if at is None else at_routes.setdefault(at, [])
        where.append((place, _limit(limit)))
    return TierPolicy(
        pk=row.pk,
        slug=row.slug,
        name=row.name,
        by_route={at: _in_order(everywhere + own) for at, own in at_routes.items()},
        everywhere=_in_order(everywhere),
        broken=broken,
        is_plain=not any(
            limit.per == Limit.Per.CALLER_ROUTE
            or limit.kind == Limit.Kind.CONCURRENT
            or limit.unit != REQUESTS
            for limit in limits
        ),
    )


def _in_order(limits: list[tuple[int, CountedLimit]]) -> tuple[CountedLimit, ...]:
    return tuple(limit for _, limit in sorted(limits, key=itemgetter(0)))


def _limit(row: Limit) -> CountedLimit:
    return CountedLimit(
        pk=row.pk,
        name=row.name,
        kind=row.kind,  # type: ignore[arg-type]
        amount=row.amount,
        period=row.period or 0,
        calendar=row.calendar,  # type: ignore[arg-type]
        shadow=row.mode == Limit.Mode.SHADOW,
        on_store_failure=row.on_store_failure,
        unit=IN_FLIGHT if row.kind == Limit.Kind.CONCURRENT else row.unit,
        per_route=row.per == Limit.Per.CALLER_ROUTE,
    )
