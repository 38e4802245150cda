"""Scopes: what a credential may do, as RFC 6749 section 3.3 spells it.

Scopes of policy are validated and sorted; scopes of a token are only split,
and what is not a scope there grants nothing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from ..errors import ScopeError

MAX_SCOPE_LENGTH = 255

# scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE_TOKEN = re.compile(rf"[\x21\x23-\x5b\x5d-\x7e]{{1,{MAX_SCOPE_LENGTH}}}")


def parse_scopes(value: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes of ``value``, each once, sorted.

    Raises:
        ScopeError: ``value`` is one string or no list, or a member is not a
            scope-token of at most 255 characters.
    """
    # A lone string is iterable too, and would become one scope per letter.
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ScopeError(
            "scopes_not_a_list",
            value,
            "Scopes are a list of strings.",
            'Write one string per scope, such as ["orders:read", "orders:write"].',
        )
    return tuple(sorted({_scope(member) for member in value}))


def check_registered(scopes: Iterable[str], registry: Collection[str] | None) -> list[ScopeError]:
    """Return one mistake per scope that ``registry`` does not hold; none without a registry."""
    if registry is None:
        return []
    return [_unregistered(scope, registry) for scope in scopes if scope not in registry]


def split_scope_claim(value: object) -> frozenset[str]:
    """Return the scopes of a token's claim: a space-separated string (RFC 8693 section 4.2)
    or a list of strings, as some issuers write it. Anything else grants nothing.
    """
    if isinstance(value, str):
        members: list[str] = value.split(" ")
    elif isinstance(value, list) and all(isinstance(member, str) for member in value):
        members = value
    else:
        return frozenset()
    return frozenset(member for member in members if _SCOPE_TOKEN.fullmatch(member))


def _scope(value: object) -> str:
    if isinstance(value, str) and _SCOPE_TOKEN.fullmatch(value):
        return value
    suggestion = None
    if isinstance(value, str) and _SCOPE_TOKEN.fullmatch(value.strip()):
        suggestion = value.strip()
    raise ScopeError(
        "bad_scope",
        value,
        "A scope is 1 to 255 printable ASCII characters without space, quote or backslash.",
        "Write each scope as a member of its own.",
        suggestion=suggestion,
    )


def _unregistered(scope: str, registry: Collection[str]) -> ScopeError:
    nearest = difflib.get_close_matches(scope, registry, n=1)
    return ScopeError(
        "unknown_scope",
        scope,
        f"The scope {scope!r} is not in the registry.",
        "Choose a registered scope, or add this one to the SCOPES setting.",
        suggestion=nearest[0] if nearest else None,
    )
