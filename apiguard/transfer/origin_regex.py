"""Regular expressions for origins -> origin patterns, where they say the same.

Only the shapes that projects really use are read: a scheme, labels of any kind,
a host, a port. Everything else is refused. What is translated is held against
the expression again, so that a misreading cannot permit what it did not match.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Final

from ..rules.origins import parse_pattern, pattern_errors

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
    rf"(?P<group>\((?:\?:)?)?(?P<labels>{_CLASS})[+*]\\\.(?(group)\)(?P<many>[?*+]?))"
)
_GROUP = re.compile(r"\((?:\?:)?([a-z0-9.|\\-]+)\)")
_PORT = re.compile(
    r"(?::(?P<one>[0-9]{1,5})|:(?:\\d|\[0-9\])(?:[+*]|\{[0-9,]+\})"
    r"|\((?:\?:)?:(?:\\d|\[0-9\])(?:[+*]|\{[0-9,]+\})\)\??)$"
)


@dataclass(frozen=True, slots=True)
class Translation:
    """Origin patterns, and in words what they permit otherwise than the expression did."""

    patterns: tuple[str, ...]
    differences: tuple[str, ...]


def translate(regex: str) -> Translation | None:
    """The patterns of an expression that was used with ``re.match``.

    Returns:
        ``None`` where the expression has no counterpart.
    """
    if len(regex) > MAX_LENGTH:
        return None
    differences = []
    text = re.sub(r"^(?:\^|\\A)", "", regex).replace("\\/", "/").replace("\\:", ":")
    body = re.sub(r"(?:\$|\\Z)$", "", text)
    if body == text:
        differences.append("It had no $ at its end, so it matched longer hosts too: not any more.")
    scheme, separator, rest = body.partition("://")
    if not separator or scheme not in _SCHEMES:
        return None
    parts = _subdomain(rest, differences)
    hosts_and_port = None if parts is None else _hosts(parts[1], differences)
    if parts is None or hosts_and_port is None:
        return None
    stars, (hosts, port) = parts[0], hosts_and_port
    patterns = [
        f"{one}://{star}{host}{port}"
        for one, star, host in itertools.product(_SCHEMES[scheme], stars, hosts)
    ]
    mended = [_canonical(pattern) for pattern in patterns]
    return _checked(regex, [pattern for pattern in mended if pattern is not None], differences)


def _subdomain(rest: str, differences: list[str]) -> tuple[tuple[str, ...], str] | None:
    """What may stand before the host, and the rest of the expression."""
    found = _SUBDOMAIN.match(rest)
    if found is None:
        return ("",), rest
    labels = found["labels"]
    if labels.startswith("[") and not re.search(r"\^|a-z|\\w", labels):
        return None  # *. permits all letters.
    dots = ("." in labels) != labels.startswith("[^")
    deep = dots or found["many"] in ("*", "+")
    if not deep:
        differences.append("It matched one label before the host; *. permits any number of them.")
    bare = found["many"] in ("*", "?")
    return ("*.", "") if bare else ("*.",), rest[found.end() :]


def _hosts(rest: str, differences: list[str]) -> tuple[list[str], str] | None:
    """Literal hosts, alternatives spelled out, and the port as patterns write it."""
    found = _PORT.search(rest)
    host = rest if found is None else rest[: found.start()]
    choices = []
    for literal, group in itertools.zip_longest(*_pieces(host), fillvalue=""):
        choices += [[literal], group.split("|")]
    count = 1
    for choice in choices:
        count *= len(choice)
    if not host or count > MAX_ORIGINS:
        return None
    if re.search(r"(?<!\\)\.", host):
        differences.append("Its . without a backslash matched any character: it is a dot now.")
    hosts = ["".join(parts).replace("\\", "") for parts in itertools.product(*choices)]
    if not all(re.fullmatch(r"[a-z0-9.-]+", one) for one in hosts):
        return None
    if found is None:
        return hosts, ""
    return hosts, f":{found['one'] or '*'}"


def _pieces(host: str) -> tuple[list[str], list[str]]:
    """The literal texts, and the groups of alternatives between them."""
    pieces = _GROUP.split(host)
    return pieces[::2], pieces[1::2]


def _canonical(pattern: str) -> str | None:
    errors = pattern_errors(pattern)
    return errors[0].suggestion if errors else pattern


def _checked(regex: str, patterns: list[str], differences: list[str]) -> Translation | None:
    """Only what the expression matches itself: nothing is permitted by a misreading."""
    try:
        expression = re.compile(regex, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError):
        return None
    kept = tuple(pattern for pattern in patterns if expression.match(_example(pattern)))
    return Translation(kept, tuple(differences)) if kept else None


def _example(pattern: str) -> str:
    """One origin that the pattern permits, as browsers send it."""
    found = parse_pattern(pattern)
    port = {None: "", "*": ":8443"}.get(found.port, f":{found.port}")  # type: ignore[arg-type]
    return f"{found.scheme}://{'label.' if found.wildcard else ''}{found.host}{port}"
