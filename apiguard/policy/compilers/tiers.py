"""Tiers with their limits, and what is different for single clients."""

from __future__ import annotations

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
    counted = [(_limit(limit), limit.route_id) for limit in limits]
    routes = {route for _, route in counted if route is not None}
    return TierPolicy(
        pk=row.pk,
        slug=row.slug,
        name=row.name,
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


def overrides(rows: Rows, problems: Problems) -> dict[Any, dict[int, Override]]:
    overrides: dict[Any, dict[int, Override]] = {}
    for row in rows.overrides:
        if not problems.of(row):
            mine = overrides.setdefault(row.client_id, {})
            mine[row.limit_id] = Override(row.amount, aware(row.until))
    return overrides
