"""CORS: answer preflights, refuse foreign origins (Fetch, section 3.2)."""

from __future__ import annotations

from ..policy.snapshot import Cors
from ..rules.headers import split_list
from .context import GuardContext
from .django_private import HeaderTable
from .facts import Facts
from .verdict import Outcome, Verdict

PREFLIGHT_OUTCOMES = frozenset(
    {
        Outcome.PREFLIGHT_ANSWERED,
        Outcome.PREFLIGHT_FOREIGN_ORIGIN,
        Outcome.PREFLIGHT_METHOD,
        Outcome.PREFLIGHT_HEADER,
    }
)
# The response headers of CORS, and the one that Private Network Access wanted beside them.
GRANTS = frozenset(
    {
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "access-control-allow-private-network",
        "access-control-expose-headers",
        "access-control-max-age",
    }
)
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def check_origin(context: GuardContext) -> Verdict | None:
    """Note who may read the response; answer a preflight; refuse a foreign origin."""
    cors = context.route.cors if context.route is not None else None
    if cors is None:
        return None
    facts = context.facts
    if cors.origins.any:
        context.cors_origin = "*"
    elif facts.origin is not None:
        context.cors_origin = cors.origins.match(facts.origin)
    if facts.origin is None:
        return None
    own = is_same_origin(facts)
    # A page never asks its own origin beforehand; a listed one that does gets its answer.
    if is_preflight(facts) and (context.cors_origin is not None or not own):
        verdict = _preflight(cors, facts, context.cors_origin)
        if verdict.refused:
            context.cors_origin = None
        return verdict
    if context.cors_origin is None and not own and cors.refuse_foreign:
        return Verdict(Outcome.FOREIGN_ORIGIN, reason=f"{facts.origin[:200]!r} is not allowed")
    return None


def is_preflight(facts: Facts) -> bool:
    """OPTIONS with Origin and a non-empty Access-Control-Request-Method."""
    return facts.method == "OPTIONS" and facts.origin is not None and bool(facts.requested_method)


def is_same_origin(facts: Facts) -> bool:
    """Return what the browser says; of browsers that say nothing, what Origin and Host say."""
    if facts.fetch_site is not None:
        return facts.fetch_site in ("same-origin", "none")
    scheme, default_port = ("https", ":443") if facts.secure else ("http", ":80")
    # Some proxies write the default port into Host; no browser writes it into Origin.
    host = (facts.host or "").removesuffix(default_port)
    return bool(host) and facts.origin == f"{scheme}://{host}"


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


def write_headers(context: GuardContext, table: HeaderTable) -> None:
    """The CORS headers of a response; ``Vary`` is the response stage's."""
    cors = context.route.cors if context.route is not None else None
    if cors is None:
        return
    answered = context.verdict.outcome is Outcome.PREFLIGHT_ANSWERED
    if not (answered or GRANTS.isdisjoint(table)):
        # What a view or another middleware said would make a second answer.
        for name in GRANTS:
            table.pop(name, None)
    if context.cors_origin is not None:
        table["access-control-allow-origin"] = (
            "Access-Control-Allow-Origin",
            context.cors_origin,
        )
        preflight = is_preflight(context.facts)
        table.update(cors.preflight_grants if preflight else cors.response_grants)
