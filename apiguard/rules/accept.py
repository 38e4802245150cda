"""Accept, held against what a route produces (RFC 9110 section 12.5.1). Never raises."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from .media import MediaType, covers, folded, has_valid_wildcards, read

MAX_ACCEPT_LENGTH: Final = 4096
"""Characters; a longer Accept is treated as absent."""

MAX_REMEMBERED: Final = 256
"""Characters of an Accept header whose judgement is remembered."""

MAX_ACCEPT_ELEMENTS: Final = 64
"""Elements of an Accept header that are looked at, from the left."""

# A quote left open takes the rest with it: looking for its end again and again is quadratic.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))+')
# Fewer and more digits than RFC 9110 section 12.4.2 allows are sent: ".2" by Java.
_WEIGHT = re.compile(r"0?\.[0-9]{1,9}|0\.?|1(?:\.0{0,9})?")


def satisfies(accept: str, produces: Sequence[MediaType]) -> bool:
    """Whether something in ``produces`` is acceptable (RFC 9110 section 12.5.1).

    The most specific range decides for each type, and a weight of 0 excludes.
    Malformed elements are ignored. True without ``produces`` and where the
    header is absent, has no well-formed element or has over 4,096 characters;
    only its first 64 elements are looked at.
    """
    if len(accept) > MAX_REMEMBERED:
        return _satisfies(accept, tuple(produces))
    return _remembered(accept, tuple(produces))


def _satisfies(accept: str, produces: tuple[MediaType, ...]) -> bool:
    ranges = _accept_ranges(accept)
    if not ranges or not produces:
        return True
    return any(_weight(media, ranges) > 0 for media in produces)


# A site's callers send a handful of values, each many times.
_remembered = lru_cache(maxsize=1024)(_satisfies)


def prefers_html(accept: str) -> bool:
    """Whether a person's browser is asking: HTML is listed, and above JSON.

    A page load names a type; ``*/*`` and absence, which programs send, do not.
    """
    ranges = _accept_ranges(accept)
    listed = [weight for media, weight in ranges if media.essence in _HTML]
    return bool(listed) and max(listed) > max(_weight(media, ranges) for media in _JSON)


_HTML = frozenset({"text/html", "application/xhtml+xml"})
_JSON = (MediaType("application", "json"), MediaType("application", "problem+json"))


def _accept_ranges(accept: str) -> list[tuple[MediaType, float]]:
    if len(accept) > MAX_ACCEPT_LENGTH:
        return []
    ranges = map(_weighted, _elements(accept))
    return [weighted for weighted in ranges if weighted is not None]


def _elements(accept: str) -> Iterator[str]:
    for count, found in enumerate(_ELEMENT.finditer(accept)):
        if count == MAX_ACCEPT_ELEMENTS:
            return
        yield found[0].strip(" \t")


def _weighted(element: str) -> tuple[MediaType, float] | None:
    # Java's HttpURLConnection sends "*; q=.2" for everything.
    media = read(f"*/{element}" if re.match(r"\*[ \t]*(?:;|$)", element) else element)
    if media is None or not has_valid_wildcards(media):
        return None
    weight = dict(media.parameters).get("q", "1")
    if not _WEIGHT.fullmatch(weight):
        return None
    parameters = tuple(pair for pair in media.parameters if pair[0] != "q")
    return MediaType(media.type, media.subtype, parameters), float(weight)


def _weight(media: MediaType, ranges: Sequence[tuple[MediaType, float]]) -> float:
    """Return the weight that the most specific matching range gives; the higher of two alike."""
    best = ((-1, 0), 0.0)
    for wanted, weight in ranges:
        if (specificity := _specificity(wanted, media)) is not None:
            best = max(best, (specificity, weight))
    return best[1]


def _specificity(wanted: MediaType, media: MediaType) -> tuple[int, int] | None:
    """Return how closely a range names a type; None where it does not match.

    A parameter that the type does not have is ignored: ``version=1`` and
    ``indent=4`` are wishes to the view.
    """
    if not (covers(wanted, media) or covers(media, wanted)):
        return None
    have = {name: folded(name, value) for name, value in media.parameters}
    shared = [(n, folded(n, value)) for n, value in wanted.parameters if n in have]
    if any(have[name] != value for name, value in shared):
        return None
    return (wanted.type != "*") + (wanted.subtype != "*"), len(shared)
