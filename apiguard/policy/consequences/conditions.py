"""What can be enforced but is hardly meant, and holds until somebody changes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...errors import PathError, PolicyError, RateError
from ...rules.limits import Limit
from ..snapshot import RoutePolicy, RowProblem, Snapshot, TierPolicy
from .limits import limits_of, routes_of, who
from .statements import Callers

COST = "cost_above_amount"


def find_conditions(snapshot: Snapshot, callers: Callers) -> tuple[RowProblem, ...]:
    """Return what holds in a policy and is hardly meant, with the rows it comes from."""
    return (
        *_unlimited(snapshot, callers),
        *_impossible_costs(snapshot, callers),
        *_switched_off(snapshot, callers),
    )


def _impossible_costs(snapshot: Snapshot, callers: Callers) -> Iterator[RowProblem]:
    """Yield the limits that a single request exceeds, each with the dearest of the routes."""
    claimed = any(issuer.tier_claim for issuer in snapshot.issuers.values())
    for pk, tier in snapshot.tiers.items():
        is_anywhere = claimed or bool(callers.clients.get(pk)) or _has_tokens(snapshot, pk)
        dearest: dict[Limit, tuple[int, RoutePolicy]] = {}
        for _, route in routes_of(snapshot):
            is_cheap = route.cost == 1 and not route.reserve
            if is_cheap or route.broken or not (is_anywhere or _is_counted(route, pk)):
                continue
            for limit in tier.limits_at(route.pk):
                cost = route.cost_of(limit.unit) or 0
                if limit.amount < cost > dearest.get(limit, (0, route))[0]:
                    dearest[limit] = cost, route
        for limit, (cost, route) in dearest.items():
            if not limit.shadow:
                yield _impossible_cost(tier, limit, cost, route)


def _impossible_cost(tier: TierPolicy, limit: Limit, cost: int, route: RoutePolicy) -> RowProblem:
    error = RateError(
        COST,
        limit.amount,
        f"One request to the route {route.name!r} costs {cost}, and this limit admits "
        f"{limit.amount}: every request that it counts there is refused.",
        "Raise the amount, or lower the cost of the route.",
        field="amount",
    )
    return RowProblem("limit", limit.pk, f"{tier.name}: {limit.name}", error)


def _has_tokens(snapshot: Snapshot, tier_pk: Any) -> bool:
    return any(issuer.tier_pk == tier_pk for issuer in snapshot.issuers.values())


def _is_counted(route: RoutePolicy, tier_pk: Any) -> bool:
    """Return whether a route counts callers without a credential in a tier."""
    is_for_users = route.access == "application" and tier_pk == route.user_tier
    return tier_pk == route.anonymous_tier or is_for_users


def _unlimited(snapshot: Snapshot, callers: Callers) -> Iterator[RowProblem]:
    """Yield the tiers without a limit."""
    for pk, tier in snapshot.tiers.items():
        if tier.broken or limits_of(tier):
            continue
        counted = who(pk, snapshot, callers)
        reason = "The tier has no limits, so it limits nothing"
        reason += f": {counted}." if counted else "."
        error = PolicyError("empty_tier", "", reason, "Add a limit.")
        yield RowProblem("tier", pk, tier.name, error)


def _switched_off(snapshot: Snapshot, callers: Callers) -> Iterator[RowProblem]:
    for pk, name, prefix in callers.off:
        covering = snapshot.routes.find(prefix)
        if covering is None:
            reason = f"The route is off: everything under {prefix} is unguarded."
        else:
            reason = f"The route is off: the route {covering.name!r} applies under {prefix}."
        hint = "Choose the mode 'enforce' or 'observe', or delete the route."
        error = PathError("route_off", prefix, reason, hint, field="mode")
        yield RowProblem("route", pk, name, error)
