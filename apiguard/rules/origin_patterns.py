"""Origin patterns: reading what staff typed.

A pattern is ``scheme://[*.]host[:port|:*]`` or ``*``. A pattern has exactly one
spelling, the one that browsers send in ``Origin`` (RFC 6454 section 6.2, Fetch
"serializing a request origin"). There are no regular expressions in patterns,
and ``null`` is no origin. All mistakes are reported together, with the accepted
spelling where there is one.
"""

from __future__ import annotations

import functools
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, Literal, TypeAlias

from ..errors import OriginError
from .hosts import (
    MAX_HOST_LENGTH,
    bracketed,
    ends_in_number,
    is_canonical_host,
)
from .origin_mistakes import MISTAKES

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
# What nearly every row says, at a tenth of the cost: labels, and a last one that is no number.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ORDINARY = re.compile(
    rf"(https?)://(\*\.)?((?:{_LABEL}\.)*(?=[a-z]){_LABEL})(?::([1-9][0-9]{{0,4}}|\*))?"
)
# Browsers keep these (UTS 46), Python maps or drops them (IDNA 2003): two different hosts.
_READ_IN_TWO_WAYS = re.compile("[\u00df\u1e9e\u03c2\u200c\u200d]")


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
        OriginError: the first of :func:`pattern_errors`.
    """
    try:
        return _read(text)
    except _Mistake:
        raise pattern_errors(text)[0] from None


def pattern_errors(text: str) -> list[OriginError]:
    """Return everything that is wrong with a pattern by itself, in the order of reading.

    Each error has a code of its own kind, ``text`` as its value and, where all
    mistakes can be mended without guessing, the one accepted spelling as
    ``suggestion``.
    """
    try:
        _read(text)
    except _Mistake:
        codes, suggestion = _mistakes(text)
    else:
        return []
    return [OriginError(code, text, *MISTAKES[code], suggestion=suggestion) for code in codes]


class _Mistake(Exception):
    """What is wrong first, and the text to go on with.

    Args:
        mended: the same origin without this mistake.
        stand_in: where it cannot be mended, a text with the same other mistakes.
    """

    def __init__(self, code: str, mended: str | None = None, stand_in: str | None = None) -> None:
        super().__init__(code)
        self.code, self.mended, self.stand_in = code, mended, stand_in


def _mistakes(text: str) -> tuple[list[str], str | None]:
    """Return the codes of all mistakes, and the spelling that has none of them."""
    codes: list[str] = []
    seen: set[str] = set()
    mended, going_on = True, text
    while going_on not in seen:
        seen.add(going_on)
        try:
            pattern = _read(going_on)
        except _Mistake as mistake:
            codes += [mistake.code] if mistake.code not in codes else []
            without = mistake.mended if mistake.mended != going_on else None
            mended = mended and without is not None
            going_on = without or mistake.stand_in or going_on
        else:
            return codes, pattern.text if mended and codes else None
    return codes, None


# Compiling a row parses it twice: for its mistakes, and for its patterns.
@functools.lru_cache(maxsize=16)
def _read(text: str) -> OriginPattern:
    if (found := _ORDINARY.fullmatch(text)) and len(found[3]) <= MAX_HOST_LENGTH:
        scheme, star, host, port = found.groups()
        return OriginPattern(scheme, host, _port(text, scheme, port), star is not None)
    return _read_closely(text)


def _read_closely(text: str) -> OriginPattern:
    if text == "*":
        return ANY
    _refuse_what_is_no_origin(text)
    scheme, _, rest = text.partition("://")
    # As a stand-in, a scheme whose ports are all alike.
    if "*" in scheme:
        raise _Mistake("wildcard_position", stand_in=f"tauri://{rest}")
    if scheme not in DEFAULT_PORTS:
        raise _Mistake("unknown_scheme", stand_in=f"tauri://{rest}")
    authority = _authority(text, rest)
    wildcard = authority.startswith("*.")
    host, port = _split_port(text, authority[2:] if wildcard else authority)
    _check_host(text, host, wildcard)
    return OriginPattern(scheme, host, _port(text, scheme, port), wildcard)


def _refuse_what_is_no_origin(text: str) -> None:
    for code, has_mistake in _NO_ORIGIN:
        if has_mistake(text):
            raise _Mistake(code)
    if any(c.isspace() or c < " " or c == "\x7f" for c in text):
        raise _Mistake("white_space", text.strip())
    if "://" not in text:
        raise _Mistake("no_scheme", f"https://{text.lstrip('/')}")
    if not text.isascii():
        raise _Mistake("non_ascii", _with_a_labels(text))
    if text != text.lower():
        raise _Mistake("upper_case", text.lower())


def _with_a_labels(text: str) -> str | None:
    scheme, _, rest = text.partition("://")
    host = re.split(r"[:/?#]", rest, maxsplit=1)[0]
    if _READ_IN_TWO_WAYS.search(host):
        return None
    try:
        return f"{scheme}://{host.encode('idna').decode('ascii')}{rest[len(host) :]}"
    except UnicodeError:
        return None


def _authority(text: str, rest: str) -> str:
    if found := re.search(r"[/?#]", rest):
        code = "path" if found[0] == "/" else "query"
        raise _Mistake(code, text[: len(text) - len(rest) + found.start()])
    if "@" in rest:
        raise _Mistake("user_info", text[: -len(rest)] + rest.rpartition("@")[2])
    if not rest:
        raise _Mistake("no_host")
    return rest


def _split_port(text: str, authority: str) -> tuple[str, str | None]:
    if authority.startswith("["):
        host, bracket, tail = authority.partition("]")
        if not bracket or (tail and tail[0] != ":"):
            raise _Mistake("bad_ip")
        return host + bracket, tail[1:] if tail else None
    if authority.count(":") > 1:
        raise _Mistake("bad_ip", text.replace(authority, f"[{authority}]"))
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _port(text: str, scheme: str, port: str | None) -> Port:
    if port is None or port == "*":
        return "*" if port else None
    if not port:
        raise _Mistake("bad_port", text[:-1])
    if len(port) > 5 or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise _Mistake("bad_port")
    if port[0] == "0":
        raise _Mistake("bad_port", text[: -len(port)] + str(int(port)))
    if int(port) == DEFAULT_PORTS[scheme]:
        raise _Mistake("default_port", text[: -len(port) - 1])
    return int(port)


def _check_host(text: str, host: str, wildcard: bool) -> None:
    if not host:
        raise _Mistake("no_host")
    some_host = text.replace(f"*.{host}" if wildcard else host, "example.com", 1)
    if "*" in host:
        raise _Mistake("wildcard_position", stand_in=some_host)
    address = host.startswith("[") or ends_in_number(host)
    if address and wildcard:
        raise _Mistake("wildcard_ip", stand_in=some_host)
    if len(host) > MAX_HOST_LENGTH:
        raise _Mistake("too_long", stand_in=some_host)
    if not is_canonical_host(host):
        code, canonical = _host_mistake(host, address)
        raise _Mistake(code, canonical and text.replace(host, canonical), some_host)


def _host_mistake(host: str, address: bool) -> tuple[str, str | None]:
    if not address:
        return "bad_label", host.rstrip(".") or None
    try:
        if not host.startswith("["):
            return "bad_ip", socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
        return "bad_ip", bracketed(IPv6Address(host[1:-1].partition("%")[0]))
    except (ValueError, OSError):
        return "bad_ip", None
