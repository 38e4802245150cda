"""``credentials`` routes refuse who brought none, or who lacks a scope."""

from __future__ import annotations

from collections.abc import Collection

from .challenge import Scheme, challenge, insufficient_scope
from .passage import Passage
from .verdict import Outcome, Verdict


def judge(passage: Passage) -> Verdict | None:
    """Whether the caller may enter at all."""
    route = passage.route
    if route is None or route.access != "credentials":
        return None
    if passage.credential is None:
        return no_credential(passage)
    missing = set(route.required_scopes) - passage.credential.scopes
    return scope_missing(passage, route.required_scopes, missing) if missing else None


def no_credential(passage: Passage) -> Verdict:
    """Nothing of ours was sent."""
    header = ("WWW-Authenticate", challenge(passage.settings.realm))
    return Verdict(Outcome.NO_CREDENTIAL, headers=(header,))


def scope_missing(passage: Passage, wanted: Collection[str], missing: Collection[str]) -> Verdict:
    """A good credential that may not do this."""
    scheme: Scheme = "Bearer" if passage.credential is None else passage.credential.scheme
    value = insufficient_scope(passage.settings.realm, scheme, wanted)
    return Verdict(
        Outcome.SCOPE_MISSING,
        reason=f"lacks {' '.join(sorted(missing))}",
        headers=(("WWW-Authenticate", value),),
    )
