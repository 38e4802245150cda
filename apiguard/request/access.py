"""``credentials`` routes refuse who brought none, or who lacks a scope."""

from __future__ import annotations

from collections.abc import Collection

from .challenge import Scheme, challenge, insufficient_scope
from .context import GuardContext
from .verdict import Outcome, Verdict


def check_access(context: GuardContext) -> Verdict | None:
    """Whether the caller may enter at all."""
    route = context.route
    if route is None or route.access != "credentials":
        return None
    if context.credential is None:
        return no_credential(context)
    missing = set(route.required_scopes) - context.credential.scopes
    return scope_missing(context, route.required_scopes, missing) if missing else None


def no_credential(context: GuardContext) -> Verdict:
    """Nothing of ours was sent."""
    header = ("WWW-Authenticate", challenge(context.settings.realm))
    return Verdict(Outcome.NO_CREDENTIAL, headers=(header,))


def scope_missing(
    context: GuardContext, wanted: Collection[str], missing: Collection[str]
) -> Verdict:
    """A good credential that may not do this."""
    scheme: Scheme = "Bearer" if context.credential is None else context.credential.scheme
    value = insufficient_scope(context.settings.realm, scheme, wanted)
    return Verdict(
        Outcome.SCOPE_MISSING,
        reason=f"lacks {' '.join(sorted(missing))}",
        headers=(("WWW-Authenticate", value),),
    )
