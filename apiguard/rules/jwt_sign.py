"""Tokens of an HMAC issuer, signed here: to try a policy out, and for tests."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

LIFETIME = 3600


@dataclass(frozen=True, slots=True)
class Template:
    """What the tokens of an issuer have in common, as its row says it.

    Attributes:
        required_claims: name or path -> value, or a list of which one is enough.
        max_lifetime: seconds; ``None``: not bounded.
        token_type: of the header; "" leaves it out.
    """

    issuer: str
    audience: str
    algorithm: str
    audience_claim: str = "aud"
    scope_claim: str = "scope"
    required_claims: Mapping[str, Any] | None = None
    max_lifetime: int | None = None
    token_type: str = "JWT"


class BadClaimPath(ValueError):
    """A claim lies inside another one that is no object."""


def build_claims(
    template: Template, subject: str, scope: str, now: int, lifetime: int | None = None
) -> dict[str, Any]:
    """Return the claims of a token that is good from ``now`` (epoch seconds).

    Raises:
        BadClaimPath: two claims of the issuer cannot be in one token.
    """
    seconds = lifetime or min(LIFETIME, template.max_lifetime or LIFETIME)
    claims: dict[str, Any] = {
        "iss": template.issuer,
        "sub": subject,
        "iat": now,
        "exp": now + seconds,
        "jti": secrets.token_urlsafe(16),
    }
    _put(claims, template.audience_claim, template.audience)
    for name, required in (template.required_claims or {}).items():
        _put(claims, name, required[0] if isinstance(required, list) else required)
    if scope:
        _put(claims, template.scope_claim, scope)
    return claims


def sign(template: Template, claims: Mapping[str, Any], secret: bytes) -> str:
    """Return the token of these claims."""
    # PyJWT leaves out a type that is None.
    headers = {"typ": template.token_type or None}
    return jwt.encode(dict(claims), secret, template.algorithm, headers=headers)


def _put(claims: dict[str, Any], path: str, value: Any) -> None:
    """Write a claim where the issuer's rules read it: at its path, or as the whole name."""
    *heads, last = [path] if "/" in path else path.split(".")
    for head in heads:
        inner = claims.setdefault(head, {})
        if not isinstance(inner, dict):
            raise BadClaimPath(f"The claim {path!r} lies inside {head!r}, which is no object.")
        claims = inner
    claims.setdefault(last, value)
