"""JSON Web Tokens, read strictly: before any key is chosen, before any claim is believed.

What may be read in two ways (duplicate members, non-canonical base64,
``NaN``, deep nesting) is refused, and so is every header parameter that changes
how the token is read (``crit``, ``b64``, ``zip``). Parameters that carry or name
a key (``jwk``, ``jku``, ``x5c``, …) are ignored and never followed, as RFC 7515
section 4 has it: SAP, Entra and others send them with every token. RFC 7519, 8725.

For any text only ``TokenRefused`` is raised, and the work is bounded: a token
has at most 8 KiB.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .strict_json import JsonRefused, read_object

MAX_TOKEN_LENGTH = 8192

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# By length modulo 4: what a segment may end with. No segment has one letter too many.
_LAST_LETTERS = tuple(map(frozenset, (_ALPHABET, "", "AQgw", _ALPHABET[::4])))
_STANDARD = bytes.maketrans(b"-_", b"+/")
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
PRINTABLE = re.compile(r"[\x20-\x7e]{1,256}")


class TokenProblem(StrEnum):
    """Why a token was refused; for logs and numbers, never for a response."""

    TOO_LONG = "too_long"
    NOT_THREE_SEGMENTS = "not_three_segments"
    BAD_BASE64 = "bad_base64"
    BAD_UTF8 = "bad_utf8"
    BAD_JSON = "bad_json"
    BAD_NUMBER = "bad_number"
    DUPLICATE_MEMBER = "duplicate_member"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    CRIT = "crit"
    B64 = "b64"
    ZIP = "zip"
    BAD_ALG = "bad_alg"
    ALG_NOT_ALLOWED = "alg_not_allowed"
    BAD_KID = "bad_kid"
    MISSING_KID = "missing_kid"
    UNKNOWN_KID = "unknown_kid"
    KID_OF_ANOTHER_ALG = "kid_of_another_alg"
    BAD_TYP = "bad_typ"
    BAD_SIGNATURE = "bad_signature"
    BAD_ISSUER = "bad_issuer"
    UNKNOWN_ISSUER = "unknown_issuer"
    WRONG_ISSUER = "wrong_issuer"
    MISSING_AUDIENCE = "missing_audience"
    WRONG_AUDIENCE = "wrong_audience"
    NOT_AN_ACCESS_TOKEN = "not_an_access_token"
    MISSING_CLAIM = "missing_claim"
    WRONG_CLAIM = "wrong_claim"
    BAD_SUBJECT = "bad_subject"
    MISSING_EXP = "missing_exp"
    MISSING_IAT = "missing_iat"
    BAD_TIME = "bad_time"
    NOT_YET_VALID = "not_yet_valid"
    ISSUED_IN_FUTURE = "issued_in_future"
    LIFETIME_TOO_LONG = "lifetime_too_long"
    EXPIRED = "expired"


_REFUSED_PARAMETERS = frozenset({"crit", "b64", "zip"})


class TokenRefused(Exception):
    """A token that is not accepted, and the one reason why."""

    def __init__(self, problem: TokenProblem) -> None:
        super().__init__(problem.value)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """A well-formed token, not yet verified: nothing in it may be believed."""

    header: dict[str, Any]
    claims: dict[str, Any] = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def algorithm(self) -> str:
        return str(self.header["alg"])

    @property
    def kid(self) -> str | None:
        """The key's name: only ever a dictionary key."""
        return self.header.get("kid")


def require(condition: bool, problem: TokenProblem) -> None:
    if not condition:
        raise TokenRefused(problem)


def has_jwt_shape(text: str) -> bool:
    """Whether ``text`` has the outline of a compact JWS; decodes nothing."""
    return len(text) <= MAX_TOKEN_LENGTH and _COMPACT.fullmatch(text) is not None


def issuer_of(token: str) -> str | None:
    """The ``iss`` that a readable token claims, unverified: for routing only. Never raises."""
    try:
        issuer = _decode(token).claims.get("iss")
    except TokenRefused:
        return None
    return issuer if isinstance(issuer, str) else None


def parse(token: str) -> ParsedToken:
    """Return the parts of a token in compact serialization (RFC 7515 section 7.1).

    Raises:
        TokenRefused: it is not well-formed, or has a header parameter that is
            refused. Other parameters that are not known are ignored, as
            section 4 of the RFC demands.
    """
    parsed = _decode(token)
    header = parsed.header
    if not _REFUSED_PARAMETERS.isdisjoint(header):
        raise TokenRefused(TokenProblem(min(_REFUSED_PARAMETERS & set(header))))
    require(isinstance(header.get("alg"), str), TokenProblem.BAD_ALG)
    require(_is_absent_or_printable(header, "kid"), TokenProblem.BAD_KID)
    require(_is_absent_or_printable(header, "typ"), TokenProblem.BAD_TYP)
    return parsed


def _decode(token: str) -> ParsedToken:
    require(len(token) <= MAX_TOKEN_LENGTH, TokenProblem.TOO_LONG)
    segments = token.split(".")
    require(len(segments) == 3, TokenProblem.NOT_THREE_SEGMENTS)
    # No generator expression: error reports cannot be kept from its variables.
    header, claims, signature = map(_decode_segment, segments)
    signing_input = token.rpartition(".")[0].encode("ascii")
    return ParsedToken(_json_object(header), _json_object(claims), signing_input, signature)


def _decode_segment(text: str) -> bytes:
    require(_SEGMENT.fullmatch(text) is not None, TokenProblem.BAD_BASE64)
    # Unused bits of the last letter must be zero, else one token has many spellings.
    require(text[-1] in _LAST_LETTERS[len(text) % 4], TokenProblem.BAD_BASE64)
    return binascii.a2b_base64(text.encode("ascii").translate(_STANDARD) + b"==")


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        return read_object(raw)
    except JsonRefused as refused:
        raise TokenRefused(TokenProblem(refused.problem.value)) from None


def _is_absent_or_printable(header: dict[str, Any], name: str) -> bool:
    if name not in header:
        return True
    value = header[name]
    return isinstance(value, str) and PRINTABLE.fullmatch(value) is not None
