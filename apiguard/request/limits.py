"""All limits of whoever is counted, in one decision. The second I/O point."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..rules.limits import Decision, Limit
from ..rules.networks import counted_as
from .effects import CountLimits, Failed, Steps
from .passage import Passage
from .route import RETRY_SECONDS
from .verdict import Outcome, Verdict


def judge(passage: Passage) -> Steps[Verdict | None]:
    """Count a credential in its tier, or the address in the anonymous tier.

    On ``application`` routes who has no credential is counted later, when the
    project's own authentication has said who it is.
    """
    route = passage.route
    if passage.credential is not None:
        return (yield from count(passage, passage.credential.principal, passage.credential.tier_pk))
    if route is None or route.access == "application":
        return None
    return (yield from count(passage, counted_as(passage.address), route.anonymous_tier))


def judge_user(passage: Passage, user_pk: Any) -> Steps[Verdict | None]:
    """Count a signed-in user (``None``: nobody is) who brought no credential."""
    route = passage.route
    if route is None:
        return None
    if user_pk is None:
        return (yield from count(passage, counted_as(passage.address), route.anonymous_tier))
    return (yield from count(passage, f"user:{user_pk}", route.user_tier))


def count(passage: Passage, principal: str, tier_pk: Any) -> Steps[Verdict | None]:
    """Ask the counter once; note what it said; refuse what it denies."""
    passage.counted = True
    passage.principal = principal
    if tier_pk is None:
        return None
    tier = passage.snapshot.tiers.get(tier_pk)
    if tier is None or tier.broken:
        return _broken("the tier is broken, or newer than the policy in force")
    passage.tier = tier.slug
    route = passage.route
    limits = _overridden(tier.limits_at(route.pk if route is not None else None), passage)
    if not limits:
        return None
    decision = yield CountLimits(principal, limits, route.cost if route is not None else 1)
    if isinstance(decision, Failed):
        return Verdict(Outcome.COUNTER_AWAY, retry_after=1)
    passage.decision = decision
    return None if decision.allowed else exceeded(decision)


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


def _overridden(limits: tuple[Limit, ...], passage: Passage) -> tuple[Limit, ...]:
    """The limits as they are for this client, now."""
    overrides = passage.snapshot.overrides
    if not overrides or passage.client is None or passage.client.pk not in overrides:
        return limits
    mine, now = overrides[passage.client.pk], datetime.now(UTC)
    return tuple(
        replace(limit, amount=override.amount)
        if (override := mine.get(limit.pk)) and (override.until is None or now < override.until)
        else limit
        for limit in limits
    )


def _broken(why: str) -> Verdict:
    return Verdict(Outcome.POLICY_BROKEN, reason=why, retry_after=RETRY_SECONDS)
