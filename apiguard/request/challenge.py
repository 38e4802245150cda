"""``WWW-Authenticate``: which credentials are wanted, and what was wrong with one.

RFC 9110 section 11.6.1 and RFC 6750 section 3; one header line, the scheme
that the credential came in first, and that one alone carries error parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Scheme = Literal["Bearer", "ApiKey"]


def challenge(realm: str, scheme: Scheme = "Bearer", error: str = "", description: str = "") -> str:
    """Both schemes, ``scheme`` first."""
    other = "ApiKey" if scheme == "Bearer" else "Bearer"
    parameters = f', error="{error}"' if error else ""
    if description:
        parameters += f', error_description="{description}"'
    return f'{scheme} realm="{realm}"{parameters}, {other} realm="{realm}"'


def insufficient_scope(realm: str, scheme: Scheme, wanted: Iterable[str]) -> str:
    """Return the challenge of a valid credential that lacks one of the ``wanted`` scopes."""
    scopes = " ".join(sorted(wanted))
    return f'{scheme} realm="{realm}", error="insufficient_scope", scope="{scopes}"'
