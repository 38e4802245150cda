"""Check all limits of a principal in one decision, and decide when that is done.

The second stage that needs something from outside, after the credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.http import HttpRequest

from ..counters.base import LimitCheck
from ..policy.records import ClientRecord
from ..policy.snapshot import RoutePolicy
from ..rules.limits import Decision, Limit
from ..rules.networks import counted_as
from ..rules.rates import IN_FLIGHT, REQUESTS
from .access import RETRY_SECONDS
from .context import GuardContext
from .effects import Failed, Steps
from .holds import Holds
from .usage import SettlementReport
from .users import signed_in_user_afterwards
from .verdict import Outcome, Verdict


def check_limits(context: GuardContext) -> Steps[Verdict | None]:
    """Count a credential in its tier, or the address in the anonymous tier."""
    return (yield from check(context, build_check(context)))


def check_user_limits(context: GuardContext, user_pk: Any) -> Steps[Verdict | None]:
    """Count a credential in its tier, else the signed-in user (``None``: the address)."""
    if context.credential is not None:
        return (yield from check_limits(context))
    return (yield from check(context, _build_user_check(context, user_pk)))


def check_more(context: GuardContext, cost: int) -> Steps[Verdict | None]:
    """Count ``cost`` more in the limits that this request was counted in."""
    limits = [limit for limit in _limits_of(context) if not limit.is_held]
    if not limits:
        return None
    return (yield from check(context, LimitCheck(context.principal, tuple(limits), cost)))


def check_reservation(context: GuardContext, unit: str, amount: int) -> Steps[Verdict | None]:
    """Reserve ``amount`` of a unit in all, where the request holds less."""
    limits = tuple([limit for limit in _limits_of(context) if limit.unit == unit])
    if context.holds is None and limits:
        context.holds = _holds(context)
    missing = amount - (0 if context.holds is None else context.holds.held(unit))
    if not limits or missing <= 0:
        return None
    costs = (missing,) * len(limits)
    answer = yield LimitCheck(context.principal, limits, missing, costs=costs)
    if isinstance(answer, Failed):
        return Verdict(Outcome.COUNTER_AWAY, retry_after=1)
    before: Decision | None = context.decision
    context.decision = answer if before is None else before.updated(answer)
    return None if answer.allowed else exceeded(answer)


def _limits_of(context: GuardContext) -> tuple[Limit, ...]:
    """Return the limits of the tier in which the request was counted, those of all units."""
    tier = context.snapshot.tiers_by_slug.get(context.tier) if context.tier else None
    if tier is None:
        return ()
    route_pk = None if context.route is None else context.route.pk
    limits = tier.limits_at(route_pk)
    if not tier.is_plain:
        limits = tuple([at_route(limit, route_pk) for limit in limits])
    return _overridden(limits, context)


def is_uncounted(context: GuardContext) -> bool:
    """Whether the request is to be counted at the view, once its user is known."""
    route = context.route
    if context.counted or route is None or route.access != "application":
        return False
    return route.user_tier is not None or route.anonymous_tier is not None


def build_check(context: GuardContext) -> LimitCheck | Verdict | None:
    """Build the check of this request's limits; a verdict where the tier is broken.

    On ``application`` routes a request without a credential is counted later, when
    the project's own authentication has identified the user.
    """
    route, credential = context.route, context.credential
    if credential is not None:
        return _check_of(context, credential.principal, credential.tier_pk)
    if route is None or route.access == "application":
        return None
    return _check_of(context, counted_as(context.address), route.anonymous_tier)


def may_refuse(context: GuardContext) -> bool:
    """Whether limits may refuse a request without a credential on an application route."""
    route = context.route
    if route is None or not context.enforced:
        return False
    for pk in (route.anonymous_tier, route.user_tier):
        tier = context.snapshot.tiers.get(pk)
        if pk is None:
            continue
        if tier is None or tier.broken:
            return True
        # What a request holds must be taken before its view runs.
        if not all(each.shadow and not each.is_held for each in tier.limits_at(route.pk)):
            return True
    return False


def check(context: GuardContext, built: LimitCheck | Verdict | None) -> Steps[Verdict | None]:
    """Have the limits checked once; keep the decision; refuse what it denies."""
    return record(context, (yield built)) if isinstance(built, LimitCheck) else built


def record(context: GuardContext, decision: Decision | Failed) -> Verdict | None:
    """Keep the decision in the request's context; refuse what it denies."""
    if isinstance(decision, Failed):
        return Verdict(Outcome.COUNTER_AWAY, retry_after=1)
    context.decision = decision
    return None if decision.allowed else exceeded(decision)


def _build_user_check(context: GuardContext, user_pk: Any) -> LimitCheck | Verdict | None:
    route = context.route
    if route is None:
        return None
    if user_pk is None:
        return _check_of(context, counted_as(context.address), route.anonymous_tier)
    return _check_of(context, f"user:{user_pk}", route.user_tier)


def _check_of(context: GuardContext, principal: str, tier_pk: Any) -> LimitCheck | Verdict | None:
    context.counted = True
    context.principal = principal
    if tier_pk is None:
        return None
    tier = context.snapshot.tiers.get(tier_pk)
    if tier is None or tier.broken:
        return _broken("the tier is broken, or newer than the policy in force")
    context.tier = tier.slug
    route = context.route
    limits = tier.limits_at(route.pk if route is not None else None)
    costs: tuple[int, ...] = ()
    if not tier.is_plain:
        limits, costs = _applied(limits, route, is_completed=context.is_completed)
    limits = _overridden(limits, context)
    if not limits:
        return None
    if costs:
        context.holds = _holds(context)
    cost = route.cost if route is not None else 1
    return LimitCheck(principal, limits, cost, costs=costs)


def _applied(
    limits: tuple[Limit, ...], route: RoutePolicy | None, *, is_completed: bool
) -> tuple[tuple[Limit, ...], tuple[int, ...]]:
    """Return the limits that hold on a route, and what a request costs at each of them.

    Costs are empty where the request holds nothing. Limits of units that the route does
    not reserve do not hold there; where nothing tells when the request has ended, it is
    not counted as in flight.
    """
    if route is None:
        return _applied_at(limits, None, 1, (), is_completed)
    return _applied_at(limits, route.pk, route.cost, route.reserve, is_completed)


@lru_cache(maxsize=4096)
def _applied_at(
    limits: tuple[Limit, ...],
    route_pk: Any,
    cost: int,
    reserve: tuple[tuple[str, int], ...],
    is_completed: bool,
) -> tuple[tuple[Limit, ...], tuple[int, ...]]:
    by_unit = {REQUESTS: cost, **dict(reserve)}
    if is_completed:
        by_unit[IN_FLIGHT] = 1
    found = tuple([at_route(limit, route_pk) for limit in limits if limit.unit in by_unit])
    if not any(limit.is_held for limit in found):
        return found, ()
    return found, tuple(by_unit[limit.unit] for limit in found)


def at_route(limit: Limit, route_pk: Any) -> Limit:
    """Return the limit as it is counted on a route."""
    return replace(limit, route_pk=route_pk or 0) if limit.per_route else limit


def _holds(context: GuardContext) -> Holds:
    # The report has what it needs of the context, which would refer to itself through it.
    report = SettlementReport.of(context)
    return Holds(report, report.record_units, is_closed=not context.is_completed)


def exceeded(decision: Decision) -> Verdict:
    """Too many requests, and how long to wait."""
    names = tuple(one.limit.name for one in decision.violated)
    return Verdict(
        Outcome.LIMIT_EXCEEDED,
        reason=", ".join(names),
        retry_after=decision.retry_after,
        violated=names,
        headers=(("Cache-Control", "no-store"),),
    )


def _overridden(limits: tuple[Limit, ...], context: GuardContext) -> tuple[Limit, ...]:
    """Return the limits as they are for this client, now."""
    client = context.client
    if client is None or not client.overrides:
        return limits
    return with_overrides(limits, client, datetime.now(UTC))


def with_overrides(
    limits: tuple[Limit, ...], client: ClientRecord, now: datetime
) -> tuple[Limit, ...]:
    """Return the limits with the amounts of the client's overrides that are in force."""
    amounts = {
        pk: override.amount
        for pk, override in client.overrides.items()
        if override.until is None or now < override.until
    }
    return _with_amounts(limits, tuple(amounts.items())) if amounts else limits


@lru_cache(maxsize=1024)
def _with_amounts(
    limits: tuple[Limit, ...], amounts: tuple[tuple[int, int], ...]
) -> tuple[Limit, ...]:
    """Return the same tuple each time: caches of the counter are keyed by it."""
    by_pk = dict(amounts)
    return tuple(replace(limit, amount=by_pk.get(limit.pk, limit.amount)) for limit in limits)


def _broken(why: str) -> Verdict:
    return Verdict(Outcome.POLICY_BROKEN, reason=why, retry_after=RETRY_SECONDS)


# -- when a request is counted ----------------------------------------------------


def counts_itself(view: Callable[..., Any]) -> bool:
    """Whether this is a DRF view with a throttle that counts in tiers.

    DRF authenticates inside the view, so only the view knows the caller.
    """
    cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
    for name in ("get_throttles", "check_throttles", "initial"):
        if getattr(getattr(cls, name, None), "__module__", "") != "rest_framework.views":
            return False  # Whether the view checks its throttles is unknown beforehand.
    given = getattr(view, "initkwargs", {}).get("throttle_classes")
    throttles = given if given is not None else getattr(cls, "throttle_classes", ())
    return any(getattr(throttle, "counts_tiers", False) for throttle in throttles or ())


def is_counted_now(context: GuardContext, view: Callable[..., Any]) -> bool:
    """Whether a request is counted before its view; where it can refuse nothing, after it."""
    if not is_uncounted(context) or counts_itself(view):
        return False
    context.is_counted_late = not may_refuse(context)
    return not context.is_counted_late


def late_user(request: HttpRequest, context: GuardContext) -> Any:
    """Return the user to count after the view; None counts the address."""
    if not context.is_counted_late:
        return None
    return signed_in_user_afterwards(request, testing=bool(context.settings.testing))
