"""Which web origins may read responses: the patterns and their matching.

A pattern is ``scheme://[*.]host[:port|:*]`` or ``*``. A pattern has exactly one
spelling, the one that browsers send in ``Origin`` (RFC 6454 section 6.2, Fetch
"serializing a request origin"), so that an exact origin costs one look-up and
nothing that a request brings is ever normalised. There are no regular
expressions in patterns, and ``null`` is no origin.

What staff typed is refused with :class:`~apiguard.errors.OriginError`; what a
request brought is judged without exceptions.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, Literal, TypeAlias

from apiguard.errors import OriginError
from apiguard.rules.hosts import (
    bracketed,
    ends_in_number,
    is_canonical_host,
    is_loopback,
    is_public_suffix,
)
from apiguard.rules.origin_mistakes import MISTAKES

Port: TypeAlias = int | Literal["*"] | None
"""A port number, ``"*"`` for every port, ``None`` for the scheme's default."""

DEFAULT_PORTS: Final[dict[str, int | None]] = {
    "http": 80,
    "https": 443,
    "capacitor": None,
    "ionic": None,
    "tauri": None,
    "chrome-extension": None,
    "moz-extension": None,
}
"""Every scheme that may be permitted, with its default port."""

MAX_LENGTH: Final = 512
"""Characters; longer patterns are refused, longer origins match nothing."""

_REGULAR_EXPRESSION = re.compile(r"[\\^$()|+{}]|//\.\*")
_NO_ORIGIN: Final[tuple[tuple[str, Callable[[str], object]], ...]] = (
    ("empty", lambda text: not text),
    ("too_long", lambda text: len(text) > MAX_LENGTH),
    ("null_origin", lambda text: text.strip().lower() == "null"),
    ("file_origin", lambda text: text.strip().lower().startswith("file:")),
    ("several_origins", lambda text: "," in text or ";" in text or text.count("://") > 1),
    ("regular_expression", _REGULAR_EXPRESSION.search),
)
_ORIGIN = re.compile(r"([a-z-]{1,32})://(\[[0-9a-f:]{2,39}\]|[a-z0-9.-]{1,253})(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """One permitted origin, or a family of them.

    Args:
        scheme: lower case; empty for the pattern ``*``.
        host: canonical, without ``*.``; IPv6 in brackets.
        port: see :data:`Port`.
        wildcard: every subdomain of ``host`` at any depth, not ``host`` itself.
        any: the pattern ``*``.
    """

    scheme: str
    host: str
    port: Port = None
    wildcard: bool = False
    any: bool = False

    @property
    def text(self) -> str:
        """The only spelling of this pattern."""
        if self.any:
            return "*"
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{'*.' if self.wildcard else ''}{self.host}{port}"


ANY: Final = OriginPattern("", "", any=True)


def parse_pattern(text: str) -> OriginPattern:
    """Read what staff typed.

    Raises:
        OriginError: with a code of its own for every kind of mistake, and the
            spelling that would be accepted as ``suggestion`` if there is one.
    """
    if text == "*":
        return ANY
    _refuse_what_is_no_origin(text)
    scheme, _, rest = text.partition("://")
    if "*" in scheme:
        raise _mistake("wildcard_position", text)
    if scheme not in DEFAULT_PORTS:
        raise _mistake("unknown_scheme", text)
    authority = _authority(text, rest)
    wildcard = authority.startswith("*.")
    host, port = _split_port(text, authority[2:] if wildcard else authority)
    _check_host(text, host, wildcard)
    return OriginPattern(scheme, host, _port(text, scheme, port), wildcard)


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
        _mistake(code, pattern.text)
        for pattern in patterns
        for code in _dangers(
            pattern,
            allow_credentials=allow_credentials,
            allow_insecure=allow_insecure,
            allow_public_suffixes=allow_public_suffixes,
        )
    ]


def permitted(
    patterns: Sequence[OriginPattern],
    *,
    allow_credentials: bool,
    allow_insecure: bool = False,
    allow_public_suffixes: bool = False,
) -> tuple[OriginPattern, ...]:
    """The patterns that :func:`check_patterns` does not object to."""
    return tuple(
        pattern
        for pattern in patterns
        if not any(
            _dangers(
                pattern,
                allow_credentials=allow_credentials,
                allow_insecure=allow_insecure,
                allow_public_suffixes=allow_public_suffixes,
            )
        )
    )


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

    An exact origin costs one set look-up however many there are; wildcards
    cost one more for each label of the request's host.
    """

    __slots__ = ("_any_port", "_exact", "_suffixes", "any")

    def __init__(self, patterns: Sequence[OriginPattern]) -> None:
        sites = [pattern for pattern in patterns if not pattern.any]
        plain = [pattern for pattern in sites if not pattern.wildcard]
        suffixes: dict[str, set[Port]] = {}
        for pattern in sites:
            if pattern.wildcard:
                key = f"{pattern.scheme}://{pattern.host}"
                suffixes.setdefault(key, set()).add(pattern.port)
        self.any: Final = len(sites) < len(patterns)
        self._exact: Final = frozenset(p.text for p in plain if p.port != "*")
        self._any_port: Final = frozenset(f"{p.scheme}://{p.host}" for p in plain if p.port == "*")
        self._suffixes: Final = {key: frozenset(ports) for key, ports in suffixes.items()}

    def match(self, origin: str) -> str | None:
        """The value of ``Access-Control-Allow-Origin`` for a request's ``Origin``.

        ``"*"`` if everything is permitted, the origin itself if it is, else None.
        """
        if self.any:
            return "*"
        if len(origin) > MAX_LENGTH:
            return None
        return origin if origin in self._exact or self._matches_family(origin) else None

    def _matches_family(self, origin: str) -> bool:
        if not (self._any_port or self._suffixes) or not (parsed := parse_origin(origin)):
            return False
        scheme, host, port = parsed
        if f"{scheme}://{host}" in self._any_port:
            return True
        return any(
            port in ports or "*" in ports
            for parent in _parents(host)
            if (ports := self._suffixes.get(f"{scheme}://{parent}"))
        )


def _parents(host: str) -> Iterator[str]:
    dot = host.find(".")
    while dot >= 0:
        yield host[dot + 1 :]
        dot = host.find(".", dot + 1)


def _mistake(code: str, text: str, candidate: str | None = None) -> OriginError:
    reason, hint = MISTAKES[code]
    suggestion = None if candidate is None or candidate == text else _accepted(candidate)
    return OriginError(code, text, reason, hint, suggestion=suggestion)


def _accepted(candidate: str) -> str | None:
    try:
        return parse_pattern(candidate).text
    except OriginError as error:
        return error.suggestion


def _refuse_what_is_no_origin(text: str) -> None:
    for code, has_mistake in _NO_ORIGIN:
        if has_mistake(text):
            raise _mistake(code, text)
    if any(c.isspace() or c < " " or c == "\x7f" for c in text):
        raise _mistake("white_space", text, text.strip())
    if "://" not in text:
        raise _mistake("no_scheme", text, f"https://{text.lstrip('/')}")
    if not text.isascii():
        raise _mistake("non_ascii", text, _with_a_labels(text))
    if text != text.lower():
        raise _mistake("upper_case", text, text.lower())


def _with_a_labels(text: str) -> str | None:
    scheme, _, rest = text.partition("://")
    host = re.split(r"[:/?#]", rest, maxsplit=1)[0]
    try:
        return f"{scheme}://{host.encode('idna').decode('ascii')}{rest[len(host) :]}"
    except UnicodeError:
        return None


def _authority(text: str, rest: str) -> str:
    if found := re.search(r"[/?#]", rest):
        code = "path" if found[0] == "/" else "query"
        raise _mistake(code, text, text[: len(text) - len(rest) + found.start()])
    if "@" in rest:
        raise _mistake("user_info", text, text[: -len(rest)] + rest.rpartition("@")[2])
    if not rest:
        raise _mistake("no_host", text)
    return rest


def _split_port(text: str, authority: str) -> tuple[str, str | None]:
    if authority.startswith("["):
        host, bracket, tail = authority.partition("]")
        if not bracket or (tail and tail[0] != ":"):
            raise _mistake("bad_ip", text)
        return host + bracket, tail[1:] if tail else None
    if authority.count(":") > 1:
        raise _mistake("bad_ip", text, text.replace(authority, f"[{authority}]"))
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _port(text: str, scheme: str, port: str | None) -> Port:
    if port is None or port == "*":
        return "*" if port else None
    if not port:
        raise _mistake("bad_port", text, text[:-1])
    if len(port) > 5 or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise _mistake("bad_port", text)
    if port[0] == "0":
        raise _mistake("bad_port", text, text[: -len(port)] + str(int(port)))
    if int(port) == DEFAULT_PORTS[scheme]:
        raise _mistake("default_port", text, text[: -len(port) - 1])
    return int(port)


def _check_host(text: str, host: str, wildcard: bool) -> None:
    if "*" in host:
        raise _mistake("wildcard_position", text)
    if not host:
        raise _mistake("no_host", text)
    address = host.startswith("[") or ends_in_number(host)
    if address and wildcard:
        raise _mistake("wildcard_ip", text)
    if len(host) > 253:
        raise _mistake("too_long", text)
    if not is_canonical_host(host):
        code, canonical = _host_mistake(host, address)
        raise _mistake(code, text, canonical and text.replace(host, canonical))


def _host_mistake(host: str, address: bool) -> tuple[str, str | None]:
    if not address:
        return "bad_label", host.rstrip(".") or None
    try:
        if not host.startswith("["):
            return "bad_ip", socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
        return "bad_ip", bracketed(IPv6Address(host[1:-1].partition("%")[0]))
    except (ValueError, OSError):
        return "bad_ip", None


def _dangers(
    pattern: OriginPattern,
    *,
    allow_credentials: bool,
    allow_insecure: bool,
    allow_public_suffixes: bool,
) -> Iterator[str]:
    if pattern.any and allow_credentials:
        yield "wildcard_with_credentials"
    insecure = pattern.scheme == "http" and not is_loopback(pattern.host)
    if insecure and allow_credentials and not allow_insecure:
        yield "insecure_with_credentials"
    if pattern.wildcard and not allow_public_suffixes and is_public_suffix(pattern.host):
        yield "public_suffix"
