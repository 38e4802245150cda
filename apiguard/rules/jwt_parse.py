"""JSON Web Tokens, read strictly: before any key is chosen, before any claim is believed.

What may be read in two ways (duplicate members, non-canonical base64,
``NaN``, deep nesting) is refused, and so is by name every header parameter that
carries a key or changes how the token is read. RFC 7515, 7519, 8725.

For any text only ``TokenRefused`` is raised, and the work is bounded: a token
has at most 8 KiB.
"""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_TOKEN_LENGTH = 8192
MAX_DEPTH = 16
MAX_NUMBER_LENGTH = 64

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,256}")
# A string (also an unterminated one, up to the end) or a bracket; possessive,
# so that quotes in a row cost linear time.
_JSON_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


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
    CTY = "cty"
    JWK = "jwk"
    JKU = "jku"
    X5U = "x5u"
    X5C = "x5c"
    BAD_ALG = "bad_alg"
    ALG_NOT_ALLOWED = "alg_not_allowed"
    BAD_KID = "bad_kid"
    UNKNOWN_KID = "unknown_kid"
    BAD_TYP = "bad_typ"
    BAD_SIGNATURE = "bad_signature"
    BAD_ISSUER = "bad_issuer"
    UNKNOWN_ISSUER = "unknown_issuer"
    WRONG_ISSUER = "wrong_issuer"
    MISSING_AUDIENCE = "missing_audience"
    WRONG_AUDIENCE = "wrong_audience"
    BAD_SUBJECT = "bad_subject"
    MISSING_EXP = "missing_exp"
    MISSING_IAT = "missing_iat"
    BAD_TIME = "bad_time"
    NOT_YET_VALID = "not_yet_valid"
    ISSUED_IN_FUTURE = "issued_in_future"
    LIFETIME_TOO_LONG = "lifetime_too_long"
    EXPIRED = "expired"


_REFUSED_PARAMETERS = tuple(
    TokenProblem(name) for name in ("crit", "b64", "zip", "cty", "jwk", "jku", "x5u", "x5c")
)


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


def looks_like_jwt(text: str) -> bool:
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
    """The parts of a token in compact serialization (RFC 7515 section 7.1).

    Raises:
        TokenRefused: it is not well-formed, or has a header parameter that is
            refused. Other parameters that are not known are ignored, as
            section 4 of the RFC demands.
    """
    parsed = _decode(token)
    header = parsed.header
    for name in _REFUSED_PARAMETERS:
        require(name.value not in header, name)
    require(isinstance(header.get("alg"), str), TokenProblem.BAD_ALG)
    require(_is_absent_or_printable(header, "kid"), TokenProblem.BAD_KID)
    require(_is_absent_or_printable(header, "typ"), TokenProblem.BAD_TYP)
    return parsed


def _decode(token: str) -> ParsedToken:
    require(len(token) <= MAX_TOKEN_LENGTH, TokenProblem.TOO_LONG)
    segments = token.split(".")
    require(len(segments) == 3, TokenProblem.NOT_THREE_SEGMENTS)
    header, claims, signature = (_decode_segment(segment) for segment in segments)
    signing_input = token.rpartition(".")[0].encode("ascii")
    return ParsedToken(_json_object(header), _json_object(claims), signing_input, signature)


def _decode_segment(text: str) -> bytes:
    require(_SEGMENT.fullmatch(text) is not None, TokenProblem.BAD_BASE64)
    require(len(text) % 4 != 1, TokenProblem.BAD_BASE64)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # Unused bits of the last letter must be zero, else one token has many spellings.
    canonical = base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
    require(canonical == text, TokenProblem.BAD_BASE64)
    return raw


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise TokenRefused(TokenProblem.BAD_UTF8) from None
    require(not text.startswith("\ufeff"), TokenProblem.BAD_UTF8)
    require(not _is_too_deep(text), TokenProblem.TOO_DEEP)
    try:
        value = _JSON.decode(text)
    except ValueError:
        raise TokenRefused(TokenProblem.BAD_JSON) from None
    if not isinstance(value, dict):
        raise TokenRefused(TokenProblem.NOT_AN_OBJECT)
    require(not _has_lone_surrogate(text, value), TokenProblem.BAD_UTF8)
    return value


def _is_too_deep(text: str) -> bool:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    depth = 0
    for match in _JSON_TOKEN.finditer(text):
        if match[0] in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif match[0] in "}]":
            depth -= 1
    return False


def _has_lone_surrogate(text: str, value: object) -> bool:
    """Whether an escape made a string that no UTF-8 can carry (RFC 8259 section 8.2)."""
    if "\\u" not in text:
        return False
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    require(len(members) == len(pairs), TokenProblem.DUPLICATE_MEMBER)
    return members


def _whole(text: str) -> int:
    # int() takes quadratic time, and refuses thousands of digits with a ValueError.
    require(len(text) <= MAX_NUMBER_LENGTH, TokenProblem.BAD_NUMBER)
    return int(text)


def _fraction(text: str) -> float:
    require(len(text) <= MAX_NUMBER_LENGTH, TokenProblem.BAD_NUMBER)
    number = float(text)
    require(math.isfinite(number), TokenProblem.BAD_NUMBER)
    return number


def _not_a_number(_: str) -> float:
    raise TokenRefused(TokenProblem.BAD_NUMBER)


_JSON = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_whole,
    parse_float=_fraction,
    parse_constant=_not_a_number,
)


def _is_absent_or_printable(header: dict[str, Any], name: str) -> bool:
    if name not in header:
        return True
    value = header[name]
    return isinstance(value, str) and _PRINTABLE.fullmatch(value) is not None
