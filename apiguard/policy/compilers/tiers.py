"""Tiers with their limits, and what is different for single clients."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from ...models import Limit, Tier
from ...rules.limits import Limit as CountedLimit
from ..records import aware
from ..rows import Problems, Rows, missing
from ..snapshot import Override, TierPolicy


def tiers(rows: Rows, problems: Problems) -> dict[Any, TierPolicy]:
    limits: dict[Any, list[Limit]] = {}
    broken = {row.pk for row in rows.tiers if problems.of(row)}
    routes = {row.pk for row in rows.routes}
    for limit in rows.limits:
        if problems.of(limit) or problems.of(limit, missing(("route", limit.route_id, routes))):
            broken.add(limit.tier_id)
        else:
            limits.setdefault(limit.tier_id, []).append(limit)
    return {row.pk: _tier(row, limits.get(row.pk, []), row.pk in broken) for row in rows.tiers}


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
    )


def _in_order(limits: list[tuple[int, CountedLimit]]) -> tuple[CountedLimit, ...]:
    return tuple(limit for _, limit in sorted(limits, key=itemgetter(0)))


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


def overrides(rows: Rows, problems: Problems) -> dict[Any, dict[int, Override]]:
    overrides: dict[Any, dict[int, Override]] = {}
    for row in rows.overrides:
        if not problems.of(row):
            mine = overrides.setdefault(row.client_id, {})
            mine[row.limit_id] = Override(row.amount, aware(row.until))
    return overrides
