"""Text of a request, made safe to store: no key, no token, no query string, one line.

For rows that people read later. Rather too much is hidden than too little.
"""

from __future__ import annotations

import re

from .imported_keys import mask_any

HIDDEN = "…"
# A JSON Web Token, whole or cut short: its first part is the base64url of '{"'. With white
# space after the brace it begins otherwise, and is known by its dots.
_TOKEN = re.compile(
    r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,4}"
    r"|e[wy][A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}"
)
# A query may stand in a path too: as "%3F", which servers decode.
_QUERY = re.compile(r"\?[^\s'\"]*")


def redact(text: str, namespace: str, most: int) -> str:
    """Return ``text`` without secrets, printable, of at most ``most`` characters.

    Args:
        namespace: the first part of every key of this site.
    """
    text = _QUERY.sub(f"?{HIDDEN}", _TOKEN.sub(f"eyJ{HIDDEN}", mask_any(text, namespace)))
    if not text.isprintable():
        text = "".join(_escaped(char) for char in text)
    return text if len(text) <= most else f"{text[: most - 1]}{HIDDEN}"


def redact_url(text: str, namespace: str, most: int) -> str:
    """Return a path or an origin, as ``redact`` does, without anything after its first "?"."""
    before, mark, _ = text.partition("?")
    return redact(f"{before}{mark}", namespace, most)


def _escaped(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
