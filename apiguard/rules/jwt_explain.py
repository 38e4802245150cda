"""Explain how one issuer's rules judge a token: every check by itself, for people.

The checks are those of requests, in the same order. A request stops at the
first that fails; here the others are made too, so that a person sees at once
what has to change. Claims of a token whose signature is not good are shown as
well; a page that shows them has to add that anybody may have written them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import jwt
from .jwt import ParsedToken, TokenProblem, TokenRefused, TokenRules, claim_at
from .jwt_claims import CHECKS, KIND_CLAIMS, Check, check_required_claim
from .key_set import KeySet


class Finding(NamedTuple):
    """One check: its subject, what the token has there, and why that is refused.

    ``subject`` is a claim, or a parameter of the header, or ``signature``;
    several checks may concern one claim. ``value`` is ``None`` where there is none.
    """

    subject: str
    value: Any
    problem: TokenProblem | None
    in_header: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that was found, in the order of a request; ``claims`` are those of the token."""

    findings: tuple[Finding, ...]
    claims: dict[str, Any]
    header: dict[str, Any]

    @property
    def problem(self) -> TokenProblem | None:
        """The reason for which a request with this token is refused; ``None``: it is accepted."""
        return next((found.problem for found in self.findings if found.problem), None)

    @property
    def is_signed(self) -> bool:
        """Whether a key of the issuer signed this token."""
        return Finding("signature", None, None) in self.findings


def explain_token(text: str, rules: TokenRules, keys: KeySet, now: float) -> Explanation:
    """Judge ``text`` as a token of the issuer with these rules and keys. Never raises."""
    try:
        parsed = jwt.parse(text)
    except TokenRefused as refused:
        return Explanation((Finding("token", None, refused.problem),), {}, {})
    found = (*_of_header(parsed, rules, keys), *_of_claims(parsed.claims, rules, now))
    return Explanation(found, parsed.claims, parsed.header)


def _problem(check: Callable[..., object], *arguments: Any) -> TokenProblem | None:
    try:
        check(*arguments)
    except TokenRefused as refused:
        return refused.problem
    return None


def _of_header(parsed: ParsedToken, rules: TokenRules, keys: KeySet) -> Iterator[Finding]:
    claimed = parsed.claims.get("iss")
    known = None if claimed == rules.issuer else TokenProblem.UNKNOWN_ISSUER
    yield Finding("iss", claimed, known)
    yield Finding("alg", parsed.algorithm, _problem(jwt.check_algorithm, parsed, rules), True)
    yield Finding("typ", parsed.header.get("typ"), _problem(jwt.check_type, parsed, rules), True)
    try:
        key = keys.find(parsed.kid, parsed.algorithm)
        missing = TokenProblem.UNKNOWN_KID if key is None else None
    except TokenRefused as refused:
        key, missing = None, refused.problem
    yield Finding("kid", parsed.kid, missing, True)
    good = key is not None and jwt.verify_signature(parsed, key, parsed.algorithm)
    yield Finding("signature", None, None if good else TokenProblem.BAD_SIGNATURE)


def _of_claims(claims: dict[str, Any], rules: TokenRules, now: float) -> Iterator[Finding]:
    for name, check in CHECKS:
        if name == "issuer":
            continue  # It chose the rules.
        if name == "required":
            yield from _of_required(claims, rules)
            continue
        problem = _problem(check, claims, rules, now)
        if name == "times" and problem is not None:
            yield from _of_times(claims, check, rules, now)
            return  # Nothing can be compared with such a time.
        for subject in _subjects(name, claims, rules):
            yield Finding(subject, claim_at(claims, subject), problem)


def _of_times(
    claims: dict[str, Any], check: Check, rules: TokenRules, now: float
) -> Iterator[Finding]:
    """Judge each time by itself, beside an ``exp`` that is good."""
    for name in ("exp", "nbf", "iat"):
        if name in claims:
            alone = {"exp": 0, name: claims[name]}
            yield Finding(name, claims[name], _problem(check, alone, rules, now))
    if "exp" not in claims:
        yield Finding("exp", None, TokenProblem.MISSING_EXP)


def _of_required(claims: dict[str, Any], rules: TokenRules) -> Iterator[Finding]:
    for name, permitted in rules.required_claims:
        problem = _problem(check_required_claim, claims, name, permitted)
        yield Finding(name, claim_at(claims, name), problem)


def _subjects(name: str, claims: dict[str, Any], rules: TokenRules) -> list[str]:
    """Return the claims that a check reads; none where there is nothing to say."""
    if name == "audience":
        return [rules.audience_claim]
    if name == "kind":
        return [claim for claim in KIND_CLAIMS if claim in claims]
    if name == "times":
        return ["exp"]
    if name == "lifetime":
        return ["iat"] if rules.max_lifetime is not None else []
    claim = {"subject": "sub", "issued": "iat", "begin": "nbf", "expiry": "exp"}[name]
    return [claim] if claim in claims or claim == "sub" else []
