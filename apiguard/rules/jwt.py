"""JSON Web Tokens: the one door to reading, verifying and judging them.

``parse`` (``jwt_parse.py``), then ``check_header``, then the key that the token
names (``jwks.py``), then ``verify_signature`` (``jwt_keys.py``), then
``check_claims``: in this order, so that nothing of a token is believed before
its signature was verified, and only the holder of a good token learns that it
expired. RFC 7519, 8725 and 9068.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .jwt_keys import (
    FAMILIES,
    PreparedKey,
    check_algorithms,
    check_secret,
    prepare_key,
    verify_signature,
)
from .jwt_parse import (
    MAX_TOKEN_LENGTH,
    ParsedToken,
    TokenProblem,
    TokenRefused,
    issuer_of,
    looks_like_jwt,
    parse,
    require,
)

__all__ = [
    "FAMILIES",
    "MAX_TIME",
    "MAX_TOKEN_LENGTH",
    "ParsedToken",
    "PreparedKey",
    "TokenProblem",
    "TokenRefused",
    "TokenRules",
    "check_algorithms",
    "check_claims",
    "check_header",
    "check_secret",
    "issuer_of",
    "looks_like_jwt",
    "parse",
    "prepare_key",
    "verify_signature",
]

MAX_TIME = 253402300799  # 9999-12-31T23:59:59Z, the last second that a datetime can hold


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What one issuer's tokens have to be.

    ``leeway`` and ``max_lifetime`` are seconds. ``token_types`` are values of
    ``typ``, "" for a token without one.
    """

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    leeway: int = 30
    token_types: tuple[str, ...] = ("JWT", "at+jwt", "")
    max_lifetime: int | None = None


def check_header(parsed: ParsedToken, rules: TokenRules) -> None:
    """Refuse an algorithm or a type that the issuer does not use. Raises TokenRefused."""
    require(parsed.algorithm in rules.algorithms, TokenProblem.ALG_NOT_ALLOWED)
    accepted = {_media_type(token_type) for token_type in rules.token_types}
    require(_media_type(parsed.header.get("typ", "")) in accepted, TokenProblem.BAD_TYP)


def check_claims(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    """Judge the claims of a token whose signature was verified; ``now`` is epoch seconds.

    Expiry is looked at last: who is told that a token expired holds one that
    was good in every other respect.

    Raises:
        TokenRefused: a claim is missing, malformed or does not fit the rules.
    """
    _check_issuer(claims, rules)
    _check_audience(claims, rules)
    _check_subject(claims)
    _check_times(claims, rules, now)


def _check_issuer(claims: dict[str, Any], rules: TokenRules) -> None:
    issuer = claims.get("iss")
    require(isinstance(issuer, str), TokenProblem.BAD_ISSUER)
    require(issuer == rules.issuer, TokenProblem.WRONG_ISSUER)


def _check_audience(claims: dict[str, Any], rules: TokenRules) -> None:
    require("aud" in claims, TokenProblem.MISSING_AUDIENCE)
    value = claims["aud"]
    audiences = value if isinstance(value, list) else [value]
    require(all(isinstance(one, str) for one in audiences), TokenProblem.WRONG_AUDIENCE)
    require(not rules.audiences.isdisjoint(audiences), TokenProblem.WRONG_AUDIENCE)


def _check_subject(claims: dict[str, Any]) -> None:
    subject = claims.get("sub")
    ok = isinstance(subject, str) and 1 <= len(subject) <= 255 and subject.isprintable()
    require(ok, TokenProblem.BAD_SUBJECT)


def _check_times(claims: dict[str, Any], rules: TokenRules, now: float) -> None:
    expires, begins, issued = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise TokenRefused(TokenProblem.MISSING_EXP)
    latest = now + rules.leeway
    require(issued is None or issued <= latest, TokenProblem.ISSUED_IN_FUTURE)
    require(begins is None or begins <= latest, TokenProblem.NOT_YET_VALID)
    if rules.max_lifetime is not None:
        # Without iat no lifetime can be told, and a limit that can be left out is none.
        if issued is None:
            raise TokenRefused(TokenProblem.MISSING_IAT)
        require(expires - issued <= rules.max_lifetime, TokenProblem.LIFETIME_TOO_LONG)
    require(expires > now - rules.leeway, TokenProblem.EXPIRED)


def _time(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2): a JSON number, not a string and not a boolean."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TokenRefused(TokenProblem.BAD_TIME)
    require(0 <= value <= MAX_TIME, TokenProblem.BAD_TIME)
    return value


def _media_type(text: str) -> str:
    """``typ`` for comparison: in lower case, ``application/`` left out (RFC 7515 section 4.1.9)."""
    lower = text.lower()
    short = lower.removeprefix("application/")
    return short if short and "/" not in short else lower
