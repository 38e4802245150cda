"""CORS: answer preflights, refuse foreign origins (Fetch, section 3.2)."""

from __future__ import annotations

from ..policy.snapshot import Cors
from ..rules.headers import split_list
from .facts import Facts
from .passage import Passage
from .verdict import Header, Outcome, Verdict

_PREFLIGHT_OUTCOMES = frozenset(
    {
        Outcome.PREFLIGHT_ANSWERED,
        Outcome.PREFLIGHT_FOREIGN_ORIGIN,
        Outcome.PREFLIGHT_METHOD,
        Outcome.PREFLIGHT_HEADER,
    }
)
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def judge(passage: Passage) -> Verdict | None:
    """Note who may read the response; answer a preflight; refuse a foreign origin."""
    cors = passage.route.cors if passage.route is not None else None
    if cors is None:
        return None
    facts = passage.facts
    if cors.origins.any:
        passage.cors_origin = "*"
    elif facts.origin is not None:
        passage.cors_origin = cors.origins.match(facts.origin)
    if facts.origin is None:
        return None
    own = is_same_origin(facts)
    # A page never asks its own origin beforehand; a listed one that does gets its answer.
    if is_preflight(facts) and (passage.cors_origin is not None or not own):
        verdict = _preflight(cors, facts, passage.cors_origin)
        if verdict.refused:
            passage.cors_origin = None
        return verdict
    if passage.cors_origin is None and not own and cors.refuse_foreign:
        return Verdict(Outcome.FOREIGN_ORIGIN, reason=f"{facts.origin[:200]!r} is not allowed")
    return None


def is_preflight(facts: Facts) -> bool:
    """OPTIONS with Origin and a non-empty Access-Control-Request-Method."""
    return facts.method == "OPTIONS" and facts.origin is not None and bool(facts.requested_method)


def is_answered_preflight(passage: Passage) -> bool:
    """Whether a preflight was answered here, one way or the other."""
    return passage.verdict.outcome in _PREFLIGHT_OUTCOMES


def is_same_origin(facts: Facts) -> bool:
    """What the browser says; of browsers that say nothing, what Origin and Host say."""
    if facts.fetch_site is not None:
        return facts.fetch_site in ("same-origin", "none")
    scheme = "https" if facts.secure else "http"
    return bool(facts.host) and facts.origin == f"{scheme}://{facts.host}"


def _preflight(cors: Cors, facts: Facts, allowed_origin: str | None) -> Verdict:
    refused = _preflight_refusal(cors, facts, allowed_origin)
    if refused is not None:
        outcome, reason = refused
        return Verdict(outcome, reason=reason, headers=(("Vary", PREFLIGHT_VARY),))
    return Verdict(
        Outcome.PREFLIGHT_ANSWERED, headers=(("Vary", PREFLIGHT_VARY), *cors.preflight_headers)
    )


def _preflight_refusal(
    cors: Cors, facts: Facts, allowed_origin: str | None
) -> tuple[Outcome, str] | None:
    if allowed_origin is None:
        return Outcome.PREFLIGHT_FOREIGN_ORIGIN, f"{(facts.origin or '')[:200]!r} is not allowed"
    if facts.requested_method not in cors.methods:
        return Outcome.PREFLIGHT_METHOD, f"{(facts.requested_method or '')[:50]!r} is not listed"
    names = split_list(facts.requested_headers or "")
    if names is None:
        return Outcome.PREFLIGHT_HEADER, "Access-Control-Request-Headers is over the bounds"
    for name in names:
        if name.lower() not in cors.headers:
            return Outcome.PREFLIGHT_HEADER, f"{name[:100]!r} is not listed"
    return None


def response_headers(passage: Passage) -> list[Header]:
    """The CORS headers of an actual response; ``Vary`` is the response stage's."""
    cors = passage.route.cors if passage.route is not None else None
    if cors is None or passage.cors_origin is None:
        return []
    headers = [("Access-Control-Allow-Origin", passage.cors_origin)]
    if cors.allow_credentials and passage.cors_origin != "*":
        headers.append(("Access-Control-Allow-Credentials", "true"))
    if cors.exposed_headers and not is_preflight(passage.facts):
        headers.append(("Access-Control-Expose-Headers", cors.exposed_headers))
    return headers
