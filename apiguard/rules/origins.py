"""Which web origins may read responses: what patterns grant, and their matching.

A pattern has exactly one spelling, the one that browsers send (see
``origin_patterns``), so that an exact origin costs one look-up and nothing that
a request brings is ever normalised. What a request brought is judged without
exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Final

from ..errors import OriginError
from .hosts import is_canonical_host, is_loopback, is_public_suffix
from .origin_mistakes import MISTAKES
from .origin_patterns import (
    ANY,
    DEFAULT_PORTS,
    MAX_LENGTH,
    OriginPattern,
    Port,
    parse_pattern,
    pattern_errors,
)

__all__ = [
    "ANY",
    "DEFAULT_PORTS",
    "MAX_LENGTH",
    "OriginPattern",
    "OriginSet",
    "Port",
    "check_patterns",
    "parse_origin",
    "parse_pattern",
    "pattern_errors",
]

MAX_REMEMBERED: Final = 1024
"""Origins of a set for which it is remembered whether they are of a family."""

_ORIGIN = re.compile(r"([a-z-]{1,32})://(\[[0-9a-f:]{2,39}\]|[a-z0-9.-]{1,253})(?::([0-9]{1,5}))?")


def check_patterns(
    patterns: Sequence[OriginPattern],
    *,
    allow_credentials: bool,
    allow_insecure: bool = False,
    allow_public_suffixes: bool = False,
) -> list[OriginError]:
    """What the patterns would grant to strangers, in their order.

    Args:
        allow_credentials: the policy permits credentialed requests (Fetch 3.3.5).
        allow_insecure: credentialed ``http`` beyond loopback is wanted.
        allow_public_suffixes: ``*.`` over a public suffix is wanted.
    """
    return [
        OriginError(code, pattern.text, *MISTAKES[code])
        for pattern in patterns
        for code in _dangers(
            pattern,
            allow_credentials=allow_credentials,
            allow_insecure=allow_insecure,
            allow_public_suffixes=allow_public_suffixes,
        )
    ]


def parse_origin(text: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port (None: default) of a request's ``Origin``.

    None for everything that a browser would not have written exactly so.
    """
    if len(text) > MAX_LENGTH or not (found := _ORIGIN.fullmatch(text)):
        return None
    scheme, host, digits = found.groups()
    if scheme not in DEFAULT_PORTS or not is_canonical_host(host):
        return None
    if digits is None:
        return scheme, host, None
    port = int(digits)
    if not 1 <= port <= 65535 or digits[0] == "0" or port == DEFAULT_PORTS[scheme]:
        return None
    return scheme, host, port


class OriginSet:
    """Patterns, arranged for matching; immutable, shared between threads.

    An exact origin costs one set look-up however many there are; families
    cost two more for each label of the request's host, up to the labels of the
    deepest of them.
    """

    __slots__ = ("_exact", "_is_related", "any")

    def __init__(self, patterns: Iterable[OriginPattern]) -> None:
        everyone = False
        exact: list[str] = []
        families: list[str] = []
        deepest = 0
        for pattern in patterns:
            if pattern.wildcard:
                deepest = max(deepest, pattern.host.count(".") + 1)
            everyone = everyone or pattern.any
            family = pattern.wildcard or pattern.port == "*"
            (families if family else exact).append(pattern.text)
        self.any: Final = everyone
        self._exact: Final = frozenset(exact)
        # The same few pages ask again and again.
        self._is_related: Final = lru_cache(maxsize=MAX_REMEMBERED)(
            partial(_is_related, frozenset(families), deepest)
        )

    def match(self, origin: str) -> str | None:
        """The value of ``Access-Control-Allow-Origin`` for a request's ``Origin``.

        ``"*"`` if everything is permitted, the origin itself if it is, else None.
        """
        if self.any:
            return "*"
        if len(origin) > MAX_LENGTH:
            return None
        return origin if origin in self._exact or self._is_related(origin) else None


def _is_related(families: frozenset[str], deepest: int, origin: str) -> bool:
    """Whether an origin belongs to a family: of hosts, of ports, or of both."""
    if not families or not (parsed := parse_origin(origin)):
        return False
    scheme, host, port = parsed
    ports = (":*", "" if port is None else f":{port}")
    if f"{scheme}://{host}:*" in families:
        return True
    return any(
        f"{scheme}://*.{parent}{port}" in families
        for parent in _parents(host, deepest)
        for port in ports
    )


def _parents(host: str, deepest: int) -> Iterator[str]:
    """What stands behind each of the last ``deepest`` dots of a host."""
    dot = len(host)
    for _ in range(deepest):
        dot = host.rfind(".", 0, dot)
        if dot < 0:
            return
        yield host[dot + 1 :]


def _dangers(
    pattern: OriginPattern,
    *,
    allow_credentials: bool,
    allow_insecure: bool,
    allow_public_suffixes: bool,
) -> Iterator[str]:
    if pattern.any and allow_credentials:
        yield "wildcard_with_credentials"
    may_be_insecure = allow_insecure or not allow_credentials or pattern.scheme != "http"
    if not may_be_insecure and not is_loopback(pattern.host):
        yield "insecure_with_credentials"
    if pattern.wildcard and not allow_public_suffixes and is_public_suffix(pattern.host):
        yield "public_suffix"
