"""Path prefixes: their one spelling, and the longest one that covers a path.

Prefixes are compared with Django's ``path_info``, which is percent-decoded and
case-sensitive. A prefix begins and ends with ``/`` and ends on a segment
boundary, so ``/api/`` covers ``/api`` and ``/api/orders``, never ``/apiary``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Generic, TypeVar
from urllib.parse import unquote, urlsplit

from ..errors import PathError

T = TypeVar("T")

MAX_LENGTH: Final = 255
"""Characters of a canonical prefix."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")


def normalise_prefix(text: str) -> str:
    """Return the canonical spelling of a prefix: with a slash at both ends.

    Raises:
        PathError: for what no request path can have or what reads two ways.
    """
    if not text:
        raise PathError("empty", text, "The path prefix is empty.", "Write / to cover every path.")
    if text != text.strip():
        reason = "The path prefix has white space at its ends."
        raise _mistake("white_space", text, reason, "Remove it.", text.strip())
    _refuse_characters(text)
    if not text.startswith("/"):
        reason = "The path prefix does not begin with a slash."
        candidate = urlsplit(text).path if _is_url(text) else f"/{text}"
        raise _mistake("no_leading_slash", text, reason, "Begin it with /.", candidate)
    prefix = text if text.endswith("/") else f"{text}/"
    _refuse_segments(text, prefix)
    if len(prefix) > MAX_LENGTH:
        hint = f"Use at most {MAX_LENGTH} characters."
        raise _mistake("too_long", text, "The path prefix is too long.", hint)
    return prefix


class PrefixTable(Generic[T]):
    """Values by canonical prefix; immutable, shared between threads.

    A look-up costs one dict look-up per segment of the deepest prefix in the
    table, however many prefixes there are and however long the path is.
    """

    __slots__ = ("_entries", "_longest", "_slashes")

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._entries: Final = dict(entries)
        self._longest: Final = max(map(len, entries), default=0)
        self._slashes: Final = max((prefix.count("/") for prefix in entries), default=0)

    def prefixes(self) -> frozenset[str]:
        """Return all prefixes of the table."""
        return frozenset(self._entries)

    def find(self, path: str) -> T | None:
        """Return the value of the longest prefix that covers ``path``."""
        found: T | None = None
        end = -1
        for _ in range(self._slashes):
            end = path.find("/", end + 1, self._longest)
            if end < 0:
                whole = f"{path}/" if len(path) < self._longest else path
                return self._entries.get(whole, found)
            found = self._entries.get(path[: end + 1], found)
        return found


def _mistake(
    code: str, text: str, reason: str, hint: str, candidate: str | None = None
) -> PathError:
    suggestion = None if candidate is None or candidate == text else _accepted(candidate)
    return PathError(code, text, reason, hint, suggestion=suggestion)


def _accepted(candidate: str) -> str | None:
    try:
        return normalise_prefix(candidate)
    except PathError as error:
        return error.suggestion


def _is_url(text: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9.:-]+(?:/|$)", text) is not None


def _refuse_characters(text: str) -> None:
    if _UNPRINTABLE.search(text):
        reason = "The path prefix contains a control character."
        raise _mistake("control_character", text, reason, "Write only visible characters.")
    if "\\" in text:
        reason = "Paths are separated by slashes, not backslashes."
        raise _mistake("backslash", text, reason, "Write /.", text.replace("\\", "/"))
    if "?" in text:
        reason = "A path prefix has no query."
        raise _mistake("query", text, reason, "End before the question mark.", _before("?", text))
    if "#" in text:
        reason = "A path prefix has no fragment."
        raise _mistake("fragment", text, reason, "End before the number sign.", _before("#", text))
    if _PERCENT.search(text):
        reason = "Paths are compared after percent-decoding."
        hint = "Write the decoded character."
        raise _mistake("percent_encoding", text, reason, hint, _decoded(text))


def _decoded(text: str) -> str | None:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return None


def _before(mark: str, text: str) -> str:
    return text.partition(mark)[0]


def _refuse_segments(text: str, prefix: str) -> None:
    if "//" in prefix:
        reason = "The path prefix has an empty segment."
        hint = "Write one slash between segments."
        raise _mistake("double_slash", text, reason, hint, re.sub("/+", "/", text))
    segments = prefix.strip("/").split("/")
    if "." in segments or ".." in segments:
        reason = "Clients and servers resolve . and .. before they send a path."
        raise _mistake("dot_segment", text, reason, "Write the path that is meant.")
    if "*" in segments or "**" in segments:
        reason = "A prefix covers everything below it; a * would be compared literally."
        hint = "End before the *."
        raise _mistake("wildcard", text, reason, hint, re.sub(r"/\*{1,2}/?$", "/", text))
