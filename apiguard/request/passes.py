"""Why a stage let a request pass, in words; the counterpart of ``reasons``."""

from __future__ import annotations

from collections.abc import Callable

from ..policy.records import KeyRecord
from .context import GuardContext
from .cors import is_same_origin
from .limits import is_uncounted
from .reasons import (
    Reason,
    RowRef,
    issuer_row,
    key_row,
    limit_row,
    limit_text,
    route_row,
    shorten,
)


def describe_pass(stage: str, context: GuardContext) -> Reason:
    """Return what a stage found where it had no objection."""
    describe = _PASSES.get(stage)
    return Reason("no objection", route_row(context)) if describe is None else describe(context)


def _of_cors(context: GuardContext) -> Reason:
    cors = context.route.cors if context.route is not None else None
    origin = context.facts.origin
    if cors is None:
        return Reason("the route has no CORS policy, so Origin is not checked", route_row(context))
    row = RowRef("corspolicy", cors.pk, cors.name)
    if origin is None:
        return Reason("no Origin was sent, so it is no browser's request to another site", row)
    if context.cors_origin is not None:
        return Reason(f"origin {shorten(origin)} is in {cors.name}", row)
    if is_same_origin(context.facts):
        return Reason("the request is of the same origin", row)
    return Reason(
        f"origin {shorten(origin)} is not in {cors.name}; it is served without CORS headers", row
    )


def _of_content(context: GuardContext) -> Reason:
    route = context.route
    ruled = route is not None and (
        route.methods or route.accepts or route.produces or route.max_body_bytes is not None
    )
    if not ruled:
        return Reason("the route has no content rules", route_row(context))
    return Reason("method, length, Content-Type and Accept fit the route", route_row(context))


def _of_credentials(context: GuardContext) -> Reason:
    credential = context.credential
    if credential is None:
        return Reason("no credential of apiguard's was sent")
    if isinstance(credential.auth, KeyRecord):
        record = credential.auth
        if record.pk is None:
            return Reason(f"client {record.client.slug} has no key", key_row(record))
        named = f"key {record.key_id} ({record.name}) of client {record.client.slug}"
        return Reason(f"{named} is valid", key_row(record))
    issuer = context.snapshot.issuers.get(credential.auth.get("iss", ""))
    if issuer is None:
        return Reason("the token is valid")
    return Reason(f"the token of issuer {issuer.name} is valid", issuer_row(issuer))


def _of_policy(context: GuardContext) -> Reason:
    return Reason("the rows of the route can be enforced", route_row(context))


def _of_limits(context: GuardContext) -> Reason:
    decision = context.decision
    if is_uncounted(context):
        return Reason("counted at the view, once the project has authenticated the user")
    tier = next((t for t in context.snapshot.tiers.values() if t.slug == context.tier), None)
    if tier is None:
        return Reason("there is no tier for this caller, so it is not limited", route_row(context))
    closest = None if decision is None else decision.closest
    row = RowRef("tier", tier.pk, tier.slug)
    if decision is None or closest is None:
        return Reason(f"tier {tier.slug} has no limit that refuses here", row)
    text = limit_text(context, closest)
    for one in decision.shadow_violated:
        text += f"; the shadow limit {one.limit.name} would refuse"
    return Reason(f"{text}, this request included", limit_row(closest.limit))


def _of_access(context: GuardContext) -> Reason:
    route, credential = context.route, context.credential
    if route is None or route.access != "credentials" or credential is None:
        access = "" if route is None else route.access
        return Reason(f"access is {access}: a credential is not required", route_row(context))
    if not route.required_scopes:
        return Reason("the route requires a credential, and no scope", route_row(context))
    needs = " ".join(sorted(route.required_scopes))
    has = " ".join(sorted(credential.scopes))
    return Reason(f"needs {needs}; the {credential.kind} has {has}", route_row(context))


def _of_address(context: GuardContext) -> Reason:
    address = "unknown" if context.address is None else str(context.address)
    return Reason(f"the address {address} is in no blocked network")


_PASSES: dict[str, Callable[[GuardContext], Reason]] = {
    "address": _of_address,
    "cors": _of_cors,
    "content": _of_content,
    "credentials": _of_credentials,
    "policy": _of_policy,
    "limits": _of_limits,
    "view_limits": _of_limits,
    "access": _of_access,
}
