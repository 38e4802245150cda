"""Which web origins may read responses: what patterns grant, and their matching.

A pattern has exactly one spelling, the one that browsers send (see
``origin_patterns``), so that an exact origin costs one look-up and nothing that
a request brings is ever normalised. What a request brought is judged without
exceptions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from .sharded import ShardedMap

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
    """Return what the patterns would grant to strangers, in their order.

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
    """Return scheme, host and port (None: default) of a request's ``Origin``.

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

    An exact origin costs one look-up however many there are; families cost two
    more for each label of the request's host, up to the labels of the deepest
    of them. A successor shares what it does not change with its predecessor.
    """

    __slots__ = ("_depths", "_exact", "_families", "_is_related", "any")

    def __init__(self, patterns: Iterable[OriginPattern] = ()) -> None:
        self._arrange(ShardedMap(), ShardedMap(), {}, (), patterns)

    def after(self, removed: Iterable[OriginPattern], added: Iterable[OriginPattern]) -> OriginSet:
        """Return a successor without the ``removed`` patterns, then with those ``added``."""
        successor = OriginSet.__new__(OriginSet)
        successor._arrange(self._exact, self._families, self._depths, removed, added)
        return successor

    def _arrange(
        self,
        counts: ShardedMap[str, int],
        families: ShardedMap[str, int],
        depths: Mapping[int, int],
        removed: Iterable[OriginPattern],
        added: Iterable[OriginPattern],
    ) -> None:
        """Hold what was held before, less and more; a pattern counts as often as it was added."""
        exact_changes: Counter[str] = Counter()
        family_changes: Counter[str] = Counter()
        depth_changes: Counter[int] = Counter()
        for sign, patterns in ((-1, removed), (1, added)):
            for pattern in patterns:
                is_family = pattern.wildcard or pattern.port == "*"
                (family_changes if is_family else exact_changes)[pattern.text] += sign
                if pattern.wildcard:
                    depth_changes[pattern.host.count(".") + 1] += sign
        self._exact: ShardedMap[str, int] = _counted(counts, exact_changes)
        self._families: ShardedMap[str, int] = _counted(families, family_changes)
        now = {depth: depths.get(depth, 0) for depth in {*depths, *depth_changes}}
        now = {depth: number + depth_changes[depth] for depth, number in now.items()}
        self._depths: Mapping[int, int] = {d: number for d, number in now.items() if number > 0}
        self.any: bool = ANY.text in self._exact
        deepest = max(self._depths, default=0)
        # The same few pages ask again and again.
        self._is_related = lru_cache(maxsize=MAX_REMEMBERED)(
            partial(_is_related, self._families, deepest)
        )

    def texts(self) -> frozenset[str]:
        """Return all patterns, in their only spelling."""
        return frozenset(text for part in (self._exact, self._families) for text, _ in part.items())

    def covers(self, pattern: OriginPattern) -> bool:
        """Return whether every origin of ``pattern`` matches."""
        if self.any:
            return True
        if pattern.any:
            return False
        if not pattern.wildcard and pattern.port != "*":
            return self.match(pattern.text) is not None
        # A family of ports is covered by one of ports alone.
        ports = {":*"} if pattern.port == "*" else {":*", _port_text(pattern.port)}
        if not pattern.wildcard and f"{pattern.scheme}://{pattern.host}:*" in self._families:
            return True
        deepest = max(self._depths, default=0)
        parents = [*_parents(pattern.host, deepest), *([pattern.host] if pattern.wildcard else [])]
        return any(
            f"{pattern.scheme}://*.{parent}{port}" in self._families
            for parent in parents
            for port in ports
        )

    def match(self, origin: str) -> str | None:
        """Return the value of ``Access-Control-Allow-Origin`` for a request's ``Origin``.

        ``"*"`` if everything is permitted, the origin itself if it is, else None.
        """
        if self.any:
            return "*"
        if len(origin) > MAX_LENGTH:
            return None
        return origin if origin in self._exact or self._is_related(origin) else None


def _counted(counts: ShardedMap[str, int], changes: Mapping[str, int]) -> ShardedMap[str, int]:
    if not len(counts):
        return ShardedMap((text, number) for text, number in changes.items() if number > 0)
    now = {text: (counts.get(text) or 0) + number for text, number in changes.items() if number}
    return counts.after(
        [text for text, number in now.items() if number <= 0],
        {text: number for text, number in now.items() if number > 0},
    )


def _is_related(families: ShardedMap[str, int], deepest: int, origin: str) -> bool:
    """Whether an origin belongs to a family: of hosts, of ports, or of both."""
    if not len(families) or not (parsed := parse_origin(origin)):
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


def _port_text(port: Port) -> str:
    return "" if port is None else f":{port}"


def _parents(host: str, deepest: int) -> Iterator[str]:
    """Yield what stands behind each of the last ``deepest`` dots of a host."""
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
