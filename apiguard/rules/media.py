"""Media types and ranges: what a route lists, and Content-Type.

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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import MediaTypeError

MAX_TYPE_LENGTH: Final = 255
"""Characters of a type or range that staff typed."""

MAX_CONTENT_TYPE_LENGTH: Final = 512
"""Characters; a longer Content-Type is malformed."""

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_ESSENCE = re.compile(rf"({_WORD})/({_WORD})[ \t]*")
_PARAMETER = re.compile(rf';[ \t]*(?:({_WORD})=(?:({_WORD})|"((?:[^"\\]|\\.)*)"))?[ \t]*')
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
    media = read(text)
    if media is None:
        hint = "Write one like application/json, parameters as ;name=value."
        raise MediaTypeError(
            "malformed", text, "This is not a media type.", hint, suggestion=_suggestion(text)
        )
    if not (has_valid_wildcards(media) or _is_suffix_range(media)):
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
    """Return the type of a response as browsers read it, whatever follows it.

    None where there is none. Source: MIME Sniffing, "parse a MIME type".
    """
    text = content_type.strip(" \t")
    found = _ESSENCE.match(text)
    if found is None or text[found.end() : found.end() + 1] not in ("", ";"):
        return None
    return MediaType(found[1].lower(), found[2].lower())


def closeness(wanted: MediaType, media: MediaType) -> int:
    """Return how closely a range that staff typed names a type, 1 to 4; 0 where it does not."""
    if not covers(wanted, media):
        return 0
    if wanted.type == "*":
        return 1
    if wanted.subtype == "*":
        return 2
    return 3 if _is_suffix_range(wanted) else 4


def parse_content_type(header: str) -> MediaType | None:
    """Return the media type of a request's Content-Type; None where it is malformed."""
    if len(header) > MAX_CONTENT_TYPE_LENGTH:
        return None
    media = read(header.strip(" \t"))
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
    sent = {(name, folded(name, value)) for name, value in media.parameters}
    if _is_json(media) and not any(name == "charset" for name, _ in sent):
        sent.add(("charset", "utf-8"))
    return any(
        covers(wanted, media)
        and all((name, folded(name, value)) in sent for name, value in wanted.parameters)
        for wanted in ranges
    )


def read(text: str) -> MediaType | None:
    """Anything of the form of a media type, wildcards unjudged; None of any other."""
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


def folded(name: str, value: str) -> str:
    """Return a parameter's value as it is compared: charsets in lower case."""
    if name != "charset":
        return value
    # The one alias that programs really send.
    return "utf-8" if value.lower() == "utf8" else value.lower()


def _is_json(media: MediaType) -> bool:
    return media.type == "application" and (media.subtype == "json" or _has_suffix(media, "+json"))


def has_valid_wildcards(media: MediaType) -> bool:
    """Whether it is a type, or a range of RFC 9110."""
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


def covers(wanted: MediaType, media: MediaType) -> bool:
    """Whether a range, or the same type, names ``media``; parameters apart."""
    if wanted.type not in ("*", media.type):
        return False
    if wanted.subtype.startswith("*+"):
        return _has_suffix(media, wanted.subtype[1:])
    return wanted.subtype in ("*", media.subtype)
