"""What can be enforced but is hardly meant, and holds until somebody changes it."""

from __future__ import annotations

from collections.abc import Iterator

from ..snapshot import RoutePolicy, Snapshot
from .limits import limits_of, routes_of, who
from .statements import Callers, Draft, Kind, Statement, merge, rate_of


def find_conditions(snapshot: Snapshot, callers: Callers) -> tuple[Statement, ...]:
    """Return what holds in a policy and is hardly meant."""
    return merge(
        [
            *_impossible_costs(snapshot, callers),
            *_unlimited(snapshot, callers),
            *_switched_off(snapshot, callers),
        ]
    )


def _impossible_costs(snapshot: Snapshot, callers: Callers) -> Iterator[Draft]:
    """Yield the limits that a single request to a route exceeds."""
    claimed = any(issuer.tier_claim for issuer in snapshot.issuers.values())
    for prefix, route in routes_of(snapshot):
        if route.cost == 1 or route.broken:
            continue
        for pk, tier in snapshot.tiers.items():
            if not (claimed or callers.clients.get(pk) or _is_counted(route, snapshot, pk)):
                continue
            for limit in tier.limits_at(route.pk):
                if limit.amount < route.cost and not limit.shadow:
                    text = (
                        f"{route.name} costs {route.cost}: the limit “{limit.name}” of tier "
                        f"“{tier.name}” ({rate_of(limit)}) can never admit it."
                    )
                    yield Draft(Kind.CLOSES, "cost_above_amount", text, prefix)


def _is_counted(route: RoutePolicy, snapshot: Snapshot, tier_pk: object) -> bool:
    if tier_pk == route.anonymous_tier:
        return True
    if tier_pk == route.user_tier and route.access == "application":
        return True
    return any(issuer.tier_pk == tier_pk for issuer in snapshot.issuers.values())


def _unlimited(snapshot: Snapshot, callers: Callers) -> Iterator[Draft]:
    """Yield the tiers that limit nothing although somebody is counted in them."""
    for pk, tier in snapshot.tiers.items():
        if tier.broken or limits_of(tier):
            continue
        counted = who(pk, snapshot, callers)
        if counted:
            text = f"No limit in the tier “{tier.name}”: {counted} are unlimited."
            yield Draft(Kind.OPENS, "unlimited", text)


def _switched_off(snapshot: Snapshot, callers: Callers) -> Iterator[Draft]:
    for _, name, prefix in callers.off:
        covering = snapshot.routes.find(prefix)
        if covering is None:
            text = f"The route “{name}” is off: everything under {prefix} is unguarded."
        else:
            text = f"The route “{name}” is off: “{covering.name}” applies under {prefix}."
        yield Draft(Kind.OPENS, "route_off", text, prefix)
