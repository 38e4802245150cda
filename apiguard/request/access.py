"""Whether the address, the route and the caller may be served at all.

A block of an address holds on every path, guarded or not, whatever the mode of the route is.

A route that is closed, or whose rows are broken, is refused after credentials, so that
a bad credential reads the same everywhere. ``credentials`` routes refuse requests
without a credential, and credentials that lack a scope.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from .challenge import Scheme, challenge, insufficient_scope
from .context import GuardContext
from .verdict import Outcome, Verdict

RETRY_SECONDS = 10
# Somebody closed the route on purpose; callers need not come back every few seconds.
CLOSED_RETRY_SECONDS = 60


def check_address(context: GuardContext) -> Verdict | None:
    """403 while the narrowest block of the address has not ended."""
    blocks = context.snapshot.blocks
    if not blocks:
        return None
    block = blocks.find(context.address, time.time())
    if block is None:
        return None
    # Also where a route only observes, or none guards the path: a person has decided it.
    context.enforced = True
    return Verdict(Outcome.ADDRESS_BLOCKED, reason=f"{block.network} is blocked: {block.reason}")


def check_route(context: GuardContext) -> Verdict | None:
    """503 where the route is closed, or its policy is broken: a row is to be changed first."""
    if context.route is None:
        return None
    if context.route.mode == "closed":
        reason = "the mode of the route is closed"
        return Verdict(Outcome.ROUTE_CLOSED, reason=reason, retry_after=CLOSED_RETRY_SECONDS)
    if not context.route.broken:
        return None
    reason = "; ".join(str(problem) for problem in context.route.broken)
    return Verdict(Outcome.POLICY_BROKEN, reason=reason, retry_after=RETRY_SECONDS)


def check_access(context: GuardContext) -> Verdict | None:
    """401 without a credential, 403 without the scopes that a ``credentials`` route requires."""
    route = context.route
    if route is None or route.access != "credentials":
        return None
    if context.credential is None:
        return no_credential(context)
    missing = set(route.required_scopes) - context.credential.scopes
    return scope_missing(context, route.required_scopes, missing) if missing else None


def no_credential(context: GuardContext) -> Verdict:
    """Return the 401 of a request without a credential of apiguard."""
    header = ("WWW-Authenticate", challenge(context.settings.realm))
    return Verdict(Outcome.NO_CREDENTIAL, headers=(header,))


def scope_missing(
    context: GuardContext, wanted: Collection[str], missing: Collection[str]
) -> Verdict:
    """Return the 403 of a valid credential that lacks scopes."""
    scheme: Scheme = "Bearer" if context.credential is None else context.credential.scheme
    value = insufficient_scope(context.settings.realm, scheme, wanted)
    return Verdict(
        Outcome.SCOPE_MISSING,
        reason=f"lacks {' '.join(sorted(missing))}",
        headers=(("WWW-Authenticate", value),),
    )
