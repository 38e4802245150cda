"""Regular expressions for origins -> origin patterns, where a pattern comes close.

Only the shapes that projects really use are read: a scheme, labels of any kind,
a host, ports. Everything else is refused. A pattern of which the expression does
not match an example is dropped, so that a misreading permits nothing; what the
patterns and the expression decide differently is described by examples.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ..rules.origins import OriginPattern, OriginSet, parse_origin, parse_pattern, pattern_errors
from .comparison import describe_differences

MAX_LENGTH: Final = 500
MAX_ORIGINS: Final = 50

_SCHEMES: Final = {
    "https": ("https",),
    "http": ("http",),
    "https?": ("https", "http"),
    "http(s)?": ("https", "http"),
    "http(?:s)?": ("https", "http"),
    "http[s]?": ("https", "http"),
    "(https|http)": ("https", "http"),
    "(http|https)": ("https", "http"),
    "(?:https|http)": ("https", "http"),
    "(?:http|https)": ("https", "http"),
}
# One label or more, of any characters that labels have, and a dot.
_CLASS = r"\\w|\.|\[\^?(?:\\w|\\d|\\\.|\\-|[a-zA-Z0-9_./:-])+\]"
_SUBDOMAIN = re.compile(
    rf"\((?:\?:)?(?P<labels>{_CLASS})[+*]\\\.\)(?P<many>[?*+]?)"
    rf"|\((?:\?:)?(?P<group>{_CLASS})[+*]\)\\\."
    rf"|(?P<bare>{_CLASS})[+*]\\\."
)
_GROUP = re.compile(r"\((?:\?:)?([a-z0-9.|\\-]+)\)")
_DIGITS = r"(?:\\d|\[0-9\])(?:[+*]|\{[0-9,]+\})"
_PORTS = re.compile(
    rf":(?P<one>[0-9]{{1,5}})$|:\((?:\?:)?(?P<many>[0-9]{{1,5}}(?:\|[0-9]{{1,5}})+)\)$"
    rf"|:{_DIGITS}$|\((?:\?:)?:{_DIGITS}\)\??$|:\?{_DIGITS}$"
)


@dataclass(frozen=True, slots=True)
class Translation:
    """Origin patterns, and sentences on what they decide otherwise than the expression."""

    patterns: tuple[str, ...]
    differences: tuple[str, ...]


def matches_everything(regex: str) -> bool:
    """Whether the expression permits any origin at all, of whatever scheme and host."""
    try:
        expression = re.compile(regex)
    except (re.error, RecursionError, OverflowError):
        return False
    strangers = ("https://stranger.invalid", "https://192.0.2.1:8443")
    return len(regex) <= MAX_LENGTH and all(expression.match(origin) for origin in strangers)


def translate(regex: str) -> Translation | None:
    """Return the patterns of an expression that was used with ``re.match``.

    Returns:
        ``None`` where the expression has no counterpart.
    """
    if len(regex) > MAX_LENGTH:
        return None
    text = re.sub(r"^(?:\^|\\A)", "", regex).replace("\\/", "/").replace("\\:", ":")
    body = re.sub(r"(?:\$|\\Z)$", "", text)
    scheme, separator, rest = body.partition("://")
    if not separator or scheme not in _SCHEMES:
        return None
    subdomain = _subdomain(rest)
    hosts_and_ports = None if subdomain is None else _hosts(subdomain[1])
    if subdomain is None or hosts_and_ports is None:
        return None
    pieces = itertools.product(_SCHEMES[scheme], subdomain[0], *hosts_and_ports)
    patterns = [f"{one}://{star}{host}{port}" for one, star, host, port in pieces]
    mended = [_canonical(pattern) for pattern in patterns]
    return _checked(regex, [pattern for pattern in mended if pattern is not None])


def _subdomain(rest: str) -> tuple[tuple[str, ...], str] | None:
    """Return what may stand before the host, and the rest of the expression."""
    found = _SUBDOMAIN.match(rest)
    if found is None:
        return ("",), rest
    labels = found["labels"] or found["group"] or found["bare"]
    if labels.startswith("[") and not re.search(r"\^|a-z|\\w", labels):
        return None  # *. permits all letters.
    optional = found["many"] in ("*", "?")
    return ("*.", "") if optional else ("*.",), rest[found.end() :]


def _hosts(rest: str) -> tuple[list[str], list[str]] | None:
    """Literal hosts, alternatives spelled out, and ports as patterns write them."""
    found = _PORTS.search(rest)
    host = rest if found is None else rest[: found.start()]
    choices = []
    for literal, group in itertools.zip_longest(*_pieces(host), fillvalue=""):
        choices += [[literal], group.split("|")]
    count = 1
    for choice in choices:
        count *= len(choice)
    if not host or count > MAX_ORIGINS:
        return None
    hosts = ["".join(parts).replace("\\", "") for parts in itertools.product(*choices)]
    if not all(re.fullmatch(r"[a-z0-9.-]+", one) for one in hosts):
        return None
    if found is None:
        return hosts, [""]
    ports = found["one"] or found["many"] or "*"
    return hosts, [f":{port}" for port in ports.split("|")]


def _pieces(host: str) -> tuple[list[str], list[str]]:
    """Return the literal texts, and the groups of alternatives between them."""
    pieces = _GROUP.split(host)
    return pieces[::2], pieces[1::2]


def _canonical(pattern: str) -> str | None:
    errors = pattern_errors(pattern)
    return errors[0].suggestion if errors else pattern


def _checked(regex: str, patterns: Iterable[str]) -> Translation | None:
    """Only what the expression matches itself: nothing is permitted by a misreading."""
    try:
        # As django-cors-headers compares: from the beginning, in the case that browsers send.
        matches = re.compile(regex).match
    except (re.error, RecursionError, OverflowError):
        return None
    parsed = [parse_pattern(pattern) for pattern in dict.fromkeys(patterns)]
    kept = [pattern for pattern in parsed if any(map(matches, _permitted(pattern)))]
    if not kept:
        return None
    permits = OriginSet(kept).match
    differences = describe_differences(
        lambda origin: matches(origin) is not None,
        lambda origin: permits(origin) is not None,
        itertools.chain.from_iterable(map(_examples, kept)),
    )
    return Translation(tuple(pattern.text for pattern in kept), tuple(differences))


_LABELS_OF_EXAMPLES: Final = ("label.", "one.two.", "with-hyphen.", "42.")
_PORTS_OF_EXAMPLES: Final = ("", ":8443", ":80", ":443", ":65000")


def _permitted(pattern: OriginPattern) -> Iterator[str]:
    """Origins that the pattern permits."""
    for label in _LABELS_OF_EXAMPLES if pattern.wildcard else ("",):
        for port in _PORTS_OF_EXAMPLES if pattern.port == "*" else (_port(pattern),):
            yield f"{pattern.scheme}://{label}{pattern.host}{port}"


def _examples(pattern: OriginPattern) -> Iterator[str]:
    """Origins as browsers send them, at the pattern and around it."""
    parents = [f"{pattern.host}.attacker.example", pattern.host.replace(".", "x", 1)]
    hosts = [f"label.{parent}" for parent in parents] if pattern.wildcard else []
    hosts += [*parents, *(f"{label}{pattern.host}" for label in ("", *_LABELS_OF_EXAMPLES))]
    for port, host in itertools.product((_port(pattern), *_PORTS_OF_EXAMPLES), hosts):
        origin = f"{pattern.scheme}://{host}{port}"
        if parse_origin(origin) is not None:
            yield origin


def _port(pattern: OriginPattern) -> str:
    return "" if pattern.port in (None, "*") else f":{pattern.port}"
