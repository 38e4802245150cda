"""JSON Web Tokens: the one module through which others read, verify and judge them.

``parse`` (``jwt_parse.py``), then ``check_header``, then the key that the token
names (``key_set.py``), then ``verify_signature`` (``jwt_keys.py``), then
``check_claims`` (``jwt_claims.py``): in this order, so that nothing of a token is
believed before its signature was verified, and only the holder of a good token
learns that it expired. RFC 7519, 8725 and 9068.
"""

from __future__ import annotations

from .jwt_claims import (
    MAX_TIME,
    TokenRules,
    check_claims,
    claim_at,
    is_claim_name,
    parse_required_claims,
)
from .jwt_keys import (
    FAMILIES,
    PreparedKey,
    accepted_algorithms,
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
    has_jwt_shape,
    issuer_of,
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
    "accepted_algorithms",
    "check_algorithm",
    "check_algorithms",
    "check_claims",
    "check_header",
    "check_secret",
    "check_type",
    "claim_at",
    "has_jwt_shape",
    "is_claim_name",
    "issuer_of",
    "parse",
    "parse_required_claims",
    "prepare_key",
    "verify_signature",
]


def check_header(parsed: ParsedToken, rules: TokenRules) -> None:
    """Refuse an algorithm or a type that the issuer does not use. Raises TokenRefused."""
    check_algorithm(parsed, rules)
    check_type(parsed, rules)


def check_algorithm(parsed: ParsedToken, rules: TokenRules) -> None:
    """Refuse an algorithm that the issuer does not use. Raises TokenRefused."""
    require(parsed.algorithm in rules.algorithms, TokenProblem.ALG_NOT_ALLOWED)


def check_type(parsed: ParsedToken, rules: TokenRules) -> None:
    """Refuse a ``typ`` of the header that the issuer does not use. Raises TokenRefused."""
    accepted = {_media_type(token_type) for token_type in rules.token_types}
    require(_media_type(parsed.header.get("typ", "")) in accepted, TokenProblem.BAD_TYP)


def _media_type(text: str) -> str:
    """``typ`` for comparison: in lower case, ``application/`` left out (RFC 7515 section 4.1.9)."""
    lower = text.lower()
    short = lower.removeprefix("application/")
    return short if short and "/" not in short else lower
