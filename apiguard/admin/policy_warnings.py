"""Rows that can be enforced but can hardly be meant; shown at the forms and on the overview."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from ..errors import PolicyError, RateError
from ..models import Limit, Route, Tier
from ..models.state import write_alias
from ..policy.snapshot import RowProblem


def find_warnings() -> Iterator[RowProblem]:
    """Yield empty tiers, and limits that a single request exceeds; two queries and one per cost."""
    for tier in Tier.objects.using(write_alias()).filter(limits=None):
        yield RowProblem("tier", tier.pk, tier.name, empty_tier())
    routes = Route.objects.using(write_alias()).filter(cost__gt=1).exclude(mode=Route.Mode.OFF)
    for route in routes:
        for limit in _limits_below_cost(route):
            yield RowProblem("limit", limit.pk, f"{limit.tier}: {limit}", _too_dear(route, limit))


def find_odd_routes() -> Iterator[RowProblem]:
    """Yield what routes say that can hardly be meant; one query."""
    for route in Route.objects.using(write_alias()).exclude(mode=Route.Mode.OFF):
        if not route.problems():
            for oddity in route.oddities():
                yield RowProblem("route", route.pk, route.name, oddity)


def empty_tier() -> PolicyError:
    """Return the warning of a tier without limits."""
    return PolicyError(
        "empty_tier", "", "The tier has no limits, so it limits nothing.", "Add a limit."
    )


def _limits_below_cost(route: Route) -> Iterator[Limit]:
    tiers = [route.anonymous_tier_id]
    if route.access == Route.Access.APPLICATION:
        tiers.append(route.user_tier_id)
    # A limit of one route with such a cost is an error, and listed as one.
    limits = Limit.objects.using(write_alias()).select_related("tier")
    found = limits.filter(Q(route=None), tier__in=[pk for pk in tiers if pk is not None])
    yield from found.filter(amount__lt=route.cost)


def _too_dear(route: Route, limit: Limit) -> RateError:
    return RateError(
        "cost_above_amount",
        limit.amount,
        f"One request to the route {route.name!r} costs {route.cost}, and this limit admits "
        f"{limit.amount}: every request that it counts there is refused.",
        "Raise the amount, or lower the cost of the route.",
        field="amount",
    )
