"""Header names and values, methods, and lists in headers (RFC 9110 section 5).

What staff typed is refused with :class:`~apiguard.errors.HeaderError` unless it
can be sent as it stands: nothing that passes here can end a header line early.
Lists from requests are measured before they are split.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Final

from ..errors import HeaderError

SAFELISTED_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
"""Methods that need no permission (Fetch "CORS-safelisted method")."""

FORBIDDEN_METHODS: Final = frozenset({"CONNECT", "TRACE", "TRACK"})
"""Methods that no page can use (Fetch "forbidden method")."""

FORBIDDEN_RESPONSE_HEADERS: Final = frozenset(
    {
        # Framing and hop-by-hop: the server's (RFC 9110 section 7.6.1).
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "date",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # One line per cookie: Django's.
        "set-cookie",
        "set-cookie2",
        # Computed for each response.
        "retry-after",
        "vary",
        "www-authenticate",
        "x-request-id",
    }
)
"""Lower-case names that no header policy may set or remove."""

FORBIDDEN_RESPONSE_HEADER_PREFIXES: Final = ("access-control-", "ratelimit", "x-ratelimit-")
"""Beginnings of lower-case names that no header policy may set or remove."""

MAX_NAME_LENGTH: Final = 128
MAX_VALUE_LENGTH: Final = 8190

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_USUAL_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY"})


def is_token(text: str) -> bool:
    """Whether ``text`` is a token (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def check_field_name(name: str) -> str:
    """Return the name itself, if it is a header name (RFC 9110 section 5.1).

    Raises:
        HeaderError: ``empty``, ``too_long``, ``wildcard`` or ``bad_name``.
    """
    if not name:
        raise HeaderError("empty", name, "The header name is empty.", "Write a header name.")
    if len(name) > MAX_NAME_LENGTH:
        hint = f"Use at most {MAX_NAME_LENGTH} characters."
        raise HeaderError("too_long", name, "The header name is too long.", hint)
    if name == "*":
        raise HeaderError("wildcard", name, "No header is named *.", "List the header names.")
    if not is_token(name):
        raise HeaderError(
            "bad_name",
            name,
            "A header name cannot contain white space or separators.",
            "Write only the name, such as X-Frame-Options.",
            suggestion=_token_or_none(name.strip().removesuffix(":").strip()),
        )
    return name


def check_field_value(value: str) -> str:
    """Return the value itself, if it can be sent (RFC 9110 section 5.5).

    Raises:
        HeaderError: ``too_long``, ``line_break``, ``control_character``,
            ``not_latin_1`` or ``white_space_at_ends``.
    """
    if len(value) > MAX_VALUE_LENGTH:
        hint = f"Use at most {MAX_VALUE_LENGTH} characters."
        raise HeaderError("too_long", value, "The header value is too long.", hint)
    code, reason, hint = _value_mistake(value)
    if code:
        stripped = value.strip()
        usable = stripped and stripped != value and not _value_mistake(stripped)[0]
        raise HeaderError(code, value, reason, hint, suggestion=stripped if usable else None)
    return value


def check_method(method: str) -> str:
    """Return the method itself, if a policy may permit it; methods are case-sensitive.

    Raises:
        HeaderError: ``empty``, ``wildcard``, ``bad_method``, ``forbidden_method``
            or ``lower_case_method``.
    """
    if not method:
        raise HeaderError("empty", method, "The method is empty.", "Write a method, such as GET.")
    if method == "*":
        raise HeaderError("wildcard", method, "No method is named *.", "List the methods.")
    upper = method.strip().upper()
    if upper in FORBIDDEN_METHODS:
        hint = f"Permit none of {', '.join(sorted(FORBIDDEN_METHODS))}."
        raise HeaderError("forbidden_method", method, "Browsers never send this method.", hint)
    usual = upper if upper in _USUAL_METHODS else None
    if len(method) > MAX_NAME_LENGTH or not is_token(method):
        reason = "A method is one word, without white space or separators."
        hint = "Write one method per entry, such as GET."
        raise HeaderError("bad_method", method, reason, hint, suggestion=usual)
    if usual and usual != method:
        reason = "Methods are case-sensitive."
        hint = "Write it in upper case."
        raise HeaderError("lower_case_method", method, reason, hint, suggestion=usual)
    return method


def check_response_header(
    name: str, value: str, *, removing: bool, reserved: Container[str] = ()
) -> None:
    """Check one row of a header policy.

    Args:
        removing: the row removes the header; only then may the value be empty.
        reserved: lower-case names that are forbidden besides.

    Raises:
        HeaderError: at field ``name`` or ``value``; ``forbidden_header`` for
            what the server or apiguard itself writes, ``no_value``, and all of
            :func:`check_field_name` and :func:`check_field_value`.
    """
    try:
        check_field_name(name)
    except HeaderError as error:
        raise error.at("name") from None
    if is_forbidden_response_header(name) or name.lower() in reserved:
        reason = "This header is written for each response and cannot be set by policy."
        hint = "Remove this row; CORS, limits and cookies have settings of their own."
        raise HeaderError("forbidden_header", name, reason, hint, field="name")
    if not value and not removing:
        hint = "Write a value, or remove the header instead."
        raise HeaderError("no_value", value, "The header has no value.", hint, field="value")
    try:
        check_field_value(value)
    except HeaderError as error:
        raise error.at("value") from None


def is_forbidden_response_header(name: str) -> bool:
    """Whether header policies must leave ``name`` (in any case) alone."""
    lower = name.lower()
    return lower in FORBIDDEN_RESPONSE_HEADERS or lower.startswith(
        FORBIDDEN_RESPONSE_HEADER_PREFIXES
    )


def merge_vary(existing: str, names: Iterable[str]) -> str:
    """``Vary`` with ``names`` added, each once in any case; ``*`` stays alone.

    Source: RFC 9110 section 12.5.5.
    """
    members = [member.strip(" \t") for member in existing.split(",")]
    merged: dict[str, str] = {}
    for name in (*members, *names):
        if name:
            merged.setdefault(name.lower(), name)
    return "*" if "*" in merged else ", ".join(merged.values())


def split_list(value: str, *, max_length: int = 4096, max_empty: int = 16) -> list[str] | None:
    """Return the members of a list in a header (RFC 9110 section 5.6.1), empty ones left out.

    Args:
        max_length: characters of the whole value.
        max_empty: empty members, which recipients must tolerate within reason.

    Returns:
        None where one of the bounds is exceeded.
    """
    if len(value) > max_length:
        return None
    if not value:
        return []
    members = [member.strip(" \t") for member in value.split(",")]
    full = [member for member in members if member]
    return full if len(members) - len(full) <= max_empty else None


def _token_or_none(text: str) -> str | None:
    return text if is_token(text) and text != "*" else None


def _value_mistake(value: str) -> tuple[str, str, str]:
    """Code, reason and hint; three empty strings if there is none."""
    if "\r" in value or "\n" in value:
        return "line_break", "A header value is one line.", "Write it without line breaks."
    if any(ord(c) > 0xFF for c in value):
        reason = "Headers cannot carry characters beyond Latin-1."
        return "not_latin_1", reason, "Write it in ASCII."
    if any((c < " " and c != "\t") or "\x7f" <= c <= "\x9f" for c in value):
        reason = "The header value contains a control character."
        return "control_character", reason, "Write only visible characters and blanks."
    if value != value.strip():
        reason = "White space at the ends of a header value is lost on the way."
        return "white_space_at_ends", reason, "Remove it."
    return "", "", ""
