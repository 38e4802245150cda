"""Media types and ranges: Content-Type, Accept, and what a route lists.

Types, subtypes and parameter names are case-insensitive and kept in lower case
(RFC 9110 section 8.3.1). What staff typed is refused with
:class:`~apiguard.errors.MediaTypeError`; what a request or a view brought never
raises.

A structured syntax suffix (RFC 6839) says how a body can be parsed, not what
it means: ``application/json`` does not cover ``application/vnd.api+json``.
Staff may list ``application/*+json``; in Accept, RFC 9110 has no such range.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from apiguard.errors import MediaTypeError

MAX_TYPE_LENGTH: Final = 255
"""Characters of a type or range that staff typed."""

MAX_CONTENT_TYPE_LENGTH: Final = 512
"""Characters; a longer Content-Type is malformed."""

MAX_ACCEPT_LENGTH: Final = 4096
"""Characters; a longer Accept is treated as absent."""

MAX_REMEMBERED: Final = 256
"""Characters of an Accept header whose judgement is remembered."""

MAX_ACCEPT_ELEMENTS: Final = 64
"""Elements of an Accept header that are looked at, from the left."""

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_ESSENCE = re.compile(rf"({_WORD})/({_WORD})[ \t]*")
_PARAMETER = re.compile(rf';[ \t]*(?:({_WORD})=(?:({_WORD})|"((?:[^"\\]|\\.)*)"))?[ \t]*')
# A quote left open takes the rest with it: looking for its end again and again is quadratic.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))+')
# Fewer and more digits than RFC 9110 section 12.4.2 allows are sent: ".2" by Java.
_WEIGHT = re.compile(r"0?\.[0-9]{1,9}|0\.?|1(?:\.0{0,9})?")
_SUFFIX_RANGE = re.compile(r"\*\+[^*+]+")
_UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\u0100-\U0010ffff]")
_ABBREVIATIONS = {
    "csv": "text/csv",
    "form": "application/x-www-form-urlencoded",
    "html": "text/html",
    "json": "application/json",
    "multipart": "multipart/form-data",
    "text": "text/plain",
    "xml": "application/xml",
}


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type, or a range where ``type`` or ``subtype`` is ``*``.

    A ``subtype`` such as ``*+json`` is every one with that suffix.

    Args:
        type: lower case.
        subtype: lower case.
        parameters: names in lower case, unquoted values, in the order given.
    """

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def essence(self) -> str:
        """``type/subtype``."""
        return f"{self.type}/{self.subtype}"

    @property
    def text(self) -> str:
        """The canonical spelling, values quoted where they must be."""
        return self.essence + "".join(f";{name}={_quoted(v)}" for name, v in self.parameters)


def parse_media_type(text: str) -> MediaType:
    """Read a media type that staff typed.

    Raises:
        MediaTypeError: ``empty``, ``too_long``, ``malformed``,
            ``wildcard_position``, ``weight`` or ``wildcard``.
    """
    media = parse_media_range(text)
    if "*" in media.essence:
        hint = "Write one media type per entry."
        raise MediaTypeError("wildcard", text, "A range is no media type.", hint)
    return media


def parse_media_range(text: str) -> MediaType:
    """Read a media type, ``type/*+suffix``, ``type/*`` or ``*/*`` that staff typed.

    Raises:
        MediaTypeError: like :func:`parse_media_type`, without ``wildcard``.
    """
    if not text:
        hint = "Write one like application/json."
        raise MediaTypeError("empty", text, "The media type is empty.", hint)
    if len(text) > MAX_TYPE_LENGTH:
        hint = f"Use at most {MAX_TYPE_LENGTH} characters."
        raise MediaTypeError("too_long", text, "The media type is too long.", hint)
    media = _parse(text)
    if media is None:
        hint = "Write one like application/json, parameters as ;name=value."
        raise MediaTypeError(
            "malformed", text, "This is not a media type.", hint, suggestion=_suggestion(text)
        )
    if not (_has_valid_wildcards(media) or _is_suffix_range(media)):
        hint = "Write */*, or one like text/* or application/*+json."
        reason = "A * stands for a whole subtype, for all before a suffix, or for everything."
        raise MediaTypeError("wildcard_position", text, reason, hint)
    if any(name == "q" for name, _ in media.parameters):
        rest = tuple(pair for pair in media.parameters if pair[0] != "q")
        bare = MediaType(media.type, media.subtype, rest).text
        reason = "Weights are what clients send in Accept."
        hint = "Leave out q."
        raise MediaTypeError("weight", text, reason, hint, suggestion=_accepted(bare))
    return media


def parse_essence_range(text: str) -> MediaType:
    """Read a range of responses that staff typed; it has no parameters.

    Raises:
        MediaTypeError: like :func:`parse_media_range`, and ``parameters``.
    """
    media = parse_media_range(text)
    if media.parameters:
        reason = "Responses are told apart by type alone."
        hint = "Leave out the parameters."
        raise MediaTypeError("parameters", text, reason, hint, suggestion=media.essence)
    return media


def essence_of(content_type: str) -> MediaType | None:
    """The type of a response as browsers read it, whatever follows it.

    None where there is none. Source: MIME Sniffing, "parse a MIME type".
    """
    text = content_type.strip(" \t")
    found = _ESSENCE.match(text)
    if found is None or text[found.end() : found.end() + 1] not in ("", ";"):
        return None
    return MediaType(found[1].lower(), found[2].lower())


def closeness(wanted: MediaType, media: MediaType) -> int:
    """How closely a range that staff typed names a type, 1 to 4; 0 where it does not."""
    if not _covers(wanted, media):
        return 0
    if wanted.type == "*":
        return 1
    if wanted.subtype == "*":
        return 2
    return 3 if _is_suffix_range(wanted) else 4


def parse_content_type(header: str) -> MediaType | None:
    """The media type of a request's Content-Type; None where it is malformed."""
    if len(header) > MAX_CONTENT_TYPE_LENGTH:
        return None
    media = _parse(header.strip(" \t"))
    return None if media is None or "*" in media.essence else media


def accepted(content_type: str, ranges: Sequence[MediaType]) -> bool:
    """Whether a route that accepts ``ranges`` takes a body of this Content-Type.

    Parameters of a range must be in the request, others may be; without ranges
    everything is taken, malformed values included. JSON that names no charset
    is in UTF-8 (RFC 8259 section 8.1).
    """
    if not ranges:
        return True
    media = parse_content_type(content_type)
    if media is None:
        return False
    sent = {(name, _folded(name, value)) for name, value in media.parameters}
    if _is_json(media) and not any(name == "charset" for name, _ in sent):
        sent.add(("charset", "utf-8"))
    return any(
        _covers(wanted, media)
        and all((name, _folded(name, value)) in sent for name, value in wanted.parameters)
        for wanted in ranges
    )


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

    A page load says so; ``*/*`` and absence, which programs send, do not.
    """
    ranges = _accept_ranges(accept)
    listed = [weight for media, weight in ranges if media.essence in _HTML]
    return bool(listed) and max(listed) > max(_weight(media, ranges) for media in _JSON)


_HTML = frozenset({"text/html", "application/xhtml+xml"})
_JSON = (MediaType("application", "json"), MediaType("application", "problem+json"))


def _parse(text: str) -> MediaType | None:
    found = _ESSENCE.match(text)
    if found is None or _UNPRINTABLE.search(text):
        return None
    parameters: dict[str, str] = {}
    at = found.end()
    while at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is None:
            return None
        at = parameter.end()
        name, token, quoted = parameter.groups()
        if name is None:
            continue
        # Two values for one name are read differently by different recipients.
        if name.lower() in parameters:
            return None
        parameters[name.lower()] = token or re.sub(r"\\(.)", r"\1", quoted or "")
    return MediaType(found[1].lower(), found[2].lower(), tuple(parameters.items()))


def _quoted(value: str) -> str:
    if re.fullmatch(_WORD, value):
        return value
    escaped = re.sub(r'(["\\])', r"\\\1", value)
    return f'"{escaped}"'


def _folded(name: str, value: str) -> str:
    if name != "charset":
        return value
    # The one alias that programs really send.
    return "utf-8" if value.lower() == "utf8" else value.lower()


def _is_json(media: MediaType) -> bool:
    return media.type == "application" and (media.subtype == "json" or _has_suffix(media, "+json"))


def _has_valid_wildcards(media: MediaType) -> bool:
    return "*" not in media.essence or media.essence == "*/*" or _is_subtype_range(media)


def _is_subtype_range(media: MediaType) -> bool:
    return media.subtype == "*" and "*" not in media.type


def _is_suffix_range(media: MediaType) -> bool:
    return _SUFFIX_RANGE.fullmatch(media.subtype) is not None and "*" not in media.type


def _has_suffix(media: MediaType, suffix: str) -> bool:
    return media.subtype.endswith(suffix) and media.subtype != suffix


def _suggestion(text: str) -> str | None:
    compact = re.sub(r"\s+", "", text)
    candidate = _ABBREVIATIONS.get(compact.lower(), compact)
    return None if candidate == text else _accepted(candidate)


def _accepted(candidate: str) -> str | None:
    try:
        return parse_media_type(candidate).text
    except MediaTypeError as error:
        return error.suggestion


def _covers(wanted: MediaType, media: MediaType) -> bool:
    if wanted.type not in ("*", media.type):
        return False
    if wanted.subtype.startswith("*+"):
        return _has_suffix(media, wanted.subtype[1:])
    return wanted.subtype in ("*", media.subtype)


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
    media = _parse(f"*/{element}" if re.match(r"\*[ \t]*(?:;|$)", element) else element)
    if media is None or not _has_valid_wildcards(media):
        return None
    weight = dict(media.parameters).get("q", "1")
    if not _WEIGHT.fullmatch(weight):
        return None
    parameters = tuple(pair for pair in media.parameters if pair[0] != "q")
    return MediaType(media.type, media.subtype, parameters), float(weight)


def _weight(media: MediaType, ranges: Sequence[tuple[MediaType, float]]) -> float:
    """The weight that the most specific matching range gives; the higher of two alike."""
    best = ((-1, 0), 0.0)
    for wanted, weight in ranges:
        if (specificity := _specificity(wanted, media)) is not None:
            best = max(best, (specificity, weight))
    return best[1]


def _specificity(wanted: MediaType, media: MediaType) -> tuple[int, int] | None:
    """How closely a range names a type; None where it does not match.

    A parameter that the type does not have is ignored: ``version=1`` and
    ``indent=4`` are wishes to the view.
    """
    if not (_covers(wanted, media) or _covers(media, wanted)):
        return None
    have = {name: _folded(name, value) for name, value in media.parameters}
    asked = [(n, _folded(n, value)) for n, value in wanted.parameters if n in have]
    if any(have[name] != value for name, value in asked):
        return None
    return (wanted.type != "*") + (wanted.subtype != "*"), len(asked)
