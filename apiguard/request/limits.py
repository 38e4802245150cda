"""Check all limits of a principal in one decision. The second I/O point."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ..counters.base import LimitCheck
from ..policy.records import ClientRecord
from ..rules.limits import Decision, Limit
from ..rules.networks import counted_as
from .access import RETRY_SECONDS
from .context import GuardContext
from .effects import Failed, Steps
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
    tier = context.snapshot.tiers_by_slug.get(context.tier) if context.tier else None
    if tier is None:
        return None
    route = context.route
    limits = _overridden(tier.limits_at(route.pk if route is not None else None), context)
    if not limits:
        return None
    return (yield from check(context, LimitCheck(context.principal, limits, cost)))


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
        if tier is None or tier.broken or not all(each.shadow for each in tier.limits_at(route.pk)):
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
    limits = _overridden(tier.limits_at(route.pk if route is not None else None), context)
    if not limits:
        return None
    return LimitCheck(principal, limits, route.cost if route is not None else 1)


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
    """The limits as they are for this client, now."""
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
    """The same tuple each time: caches of the counter are keyed by it."""
    by_pk = dict(amounts)
    return tuple(replace(limit, amount=by_pk.get(limit.pk, limit.amount)) for limit in limits)


def _broken(why: str) -> Verdict:
    return Verdict(Outcome.POLICY_BROKEN, reason=why, retry_after=RETRY_SECONDS)
