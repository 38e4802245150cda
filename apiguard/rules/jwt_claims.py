"""Judge the claims of a token whose signature was verified, by its issuer's rules.

An issuer signs more than access tokens: refresh tokens, ID tokens, tokens for
other APIs and for other tenants, often with the same key. What tells them
apart is in the claims: the audience, a claim that names the kind of token,
and whatever else the issuer's row requires. RFC 7519, 8725, 9068.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import IssuerError
from .jwt_parse import TokenProblem, require

MAX_TIME: Final = 253402300799  # 9999-12-31T23:59:59Z, the last second that a datetime can hold

MAX_REQUIRED: Final = 20
MAX_NAME_LENGTH: Final = 255
MAX_VALUE_LENGTH: Final = 1024

Scalar = str | int | float | bool
RequiredClaims = tuple[tuple[str, tuple[Scalar, ...]], ...]
"""Name or path of a claim, and the values of which the token must have one."""

# Where issuers write what kind of token this is, and the kinds that grant no access:
# simplejwt "token_type": "refresh", Cognito "token_use": "id", Keycloak "typ": "Offline".
KIND_CLAIMS: Final = ("token_type", "token_use", "typ")
_NO_ACCESS = frozenset({"refresh", "offline", "id", "serializedid", "logout"})
_ABSENT: Final = object()
_NOT_A_LETTER = re.compile(r"[^a-z]")


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What one issuer's tokens have to be.

    ``leeway`` and ``max_lifetime`` are seconds. ``token_types`` are values of
    the header's ``typ``, "" for a token without one.
    """

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    leeway: int = 30
    token_types: tuple[str, ...] = ("JWT", "at+jwt", "")
    max_lifetime: int | None = None
    audience_claim: str = "aud"
    required_claims: RequiredClaims = ()


def check_claims(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    """Judge the claims of a token whose signature was verified; ``now`` is epoch seconds.

    Expiry is judged last: only the holder of a token that was good in every
    other respect learns that it expired.

    Raises:
        TokenRefused: a claim is missing, malformed or does not fit the rules.
    """
    for _, check in CHECKS:
        check(claims, rules, now)


def claim_at(claims: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """Return the claim of this name, or at this path; ``default`` where there is none.

    Dots separate the members of objects (``realm_access.roles``). Names may
    have dots themselves (``https://example.com/roles``, a client of Keycloak
    named ``com.example.api``), so at each level the longest name that is a
    member is taken.
    """
    if path in claims or "." not in path:
        return claims.get(path, default)
    head = path
    while "." in head:
        head = head.rpartition(".")[0]
        if isinstance(inner := claims.get(head), Mapping):
            return claim_at(inner, path[len(head) + 1 :], default)
    return default


def parse_required_claims(value: object) -> RequiredClaims:
    """Read a row's ``required_claims``: ``{"token_use": "access", "tid": ["…", "…"]}``.

    Raises:
        IssuerError: this is not an object of names and values (strings,
            numbers, booleans, or lists of them).
    """
    if not isinstance(value, dict) or len(value) > MAX_REQUIRED:
        raise _bad_required(value, f"This is not a JSON object of at most {MAX_REQUIRED} claims.")
    return tuple((_claim_name(name), _claim_values(name, given)) for name, given in value.items())


def is_claim_name(name: object) -> bool:
    """Whether ``name`` can name a claim, or be the path of one."""
    return isinstance(name, str) and 1 <= len(name) <= MAX_NAME_LENGTH and name.isprintable()


def _claim_name(name: object) -> str:
    if not is_claim_name(name):
        raise _bad_required(name, "This cannot be the name of a claim.")
    return str(name)


def _claim_values(name: str, given: object) -> tuple[Scalar, ...]:
    values = given if isinstance(given, list) else [given]
    if not values or not all(_is_scalar(value) for value in values):
        raise _bad_required(name, f"What {name!r} must be is a text, a number, true or false.")
    return tuple(values)


def _is_scalar(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_VALUE_LENGTH
    return isinstance(value, int | float)


def _bad_required(value: object, reason: str) -> IssuerError:
    hint = 'Write an object such as {"token_use": "access"}; of a list of values one is enough.'
    return IssuerError("bad_required_claims", value, reason, hint, field="required_claims")


# -- one function per claim -----------------------------------------------------------


def _check_issuer(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    issuer = claims.get("iss")
    require(isinstance(issuer, str), TokenProblem.BAD_ISSUER)
    require(issuer == rules.issuer, TokenProblem.WRONG_ISSUER)


def _check_audience(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    value = claim_at(claims, rules.audience_claim, _ABSENT)
    require(value is not _ABSENT, TokenProblem.MISSING_AUDIENCE)
    audiences = value if isinstance(value, list) else [value]
    require(all(isinstance(one, str) for one in audiences), TokenProblem.WRONG_AUDIENCE)
    require(not rules.audiences.isdisjoint(audiences), TokenProblem.WRONG_AUDIENCE)


def _check_kind(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    """Refuse a token whose own claims name another kind than access token.

    A row that requires a value of such a claim decides about that claim itself.
    """
    for name in KIND_CLAIMS:
        value = claims.get(name)
        if value is None or any(required == name for required, _ in rules.required_claims):
            continue
        kinds = value if isinstance(value, list) else [value]
        require(all(map(is_access_kind, kinds)), TokenProblem.NOT_AN_ACCESS_TOKEN)


def is_access_kind(kind: object) -> bool:
    """Return False for a kind that grants no access: refresh, Refresh, refresh_token, id+jwt, …"""
    if not isinstance(kind, str):
        return True
    letters = _NOT_A_LETTER.sub("", kind.lower())
    return letters.replace("jwt", "").replace("token", "") not in _NO_ACCESS


def _check_required(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    for name, permitted in rules.required_claims:
        check_required_claim(claims, name, permitted)


def check_required_claim(claims: dict[str, Any], name: str, permitted: tuple[Scalar, ...]) -> None:
    """Refuse a token without one of these values; a claim that is a list must hold one."""
    value = claim_at(claims, name, _ABSENT)
    require(value is not _ABSENT, TokenProblem.MISSING_CLAIM)
    given = value if isinstance(value, list) else [value]
    fits = any(_is_same(one, other) for one in given for other in permitted)
    require(fits, TokenProblem.WRONG_CLAIM)


def _is_same(one: object, other: Scalar) -> bool:
    """Compare as JSON does: true is not 1, and "1" is not 1."""
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _check_subject(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    subject = claims.get("sub")
    ok = isinstance(subject, str) and 1 <= len(subject) <= 255 and subject.isprintable()
    require(ok, TokenProblem.BAD_SUBJECT)


def _check_times(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    """Refuse what is no NumericDate (RFC 7519 section 2): a JSON number, no string, no boolean."""
    for name in ("exp", "nbf", "iat"):
        if name in claims:
            value = claims[name]
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            require(is_number and 0 <= value <= MAX_TIME, TokenProblem.BAD_TIME)
    require("exp" in claims, TokenProblem.MISSING_EXP)


def _check_issued(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    if "iat" in claims:
        require(claims["iat"] <= now + rules.leeway, TokenProblem.ISSUED_IN_FUTURE)


def _check_begin(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    if "nbf" in claims:
        require(claims["nbf"] <= now + rules.leeway, TokenProblem.NOT_YET_VALID)


def _check_lifetime(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    if rules.max_lifetime is None:
        return
    # Without iat there is no lifetime to judge, and a limit that can be left out is none.
    require("iat" in claims, TokenProblem.MISSING_IAT)
    lifetime = claims["exp"] - claims["iat"]
    require(lifetime <= rules.max_lifetime, TokenProblem.LIFETIME_TOO_LONG)


def _check_expiry(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    require(claims["exp"] > now - rules.leeway, TokenProblem.EXPIRED)


Check = Callable[[dict[str, Any], TokenRules, float], None]
CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("issuer", _check_issuer),
    ("audience", _check_audience),
    ("kind", _check_kind),
    ("required", _check_required),
    ("subject", _check_subject),
    ("times", _check_times),
    # These read the times that were checked before.
    ("issued", _check_issued),
    ("begin", _check_begin),
    ("lifetime", _check_lifetime),
    ("expiry", _check_expiry),
)
"""Every check of the claims by name, in their order."""
