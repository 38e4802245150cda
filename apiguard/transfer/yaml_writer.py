"""Plain data as YAML that people read and compare line by line.

The same data always gives the same text. Every reader takes a value for what it is: text
that YAML 1.1 or 1.2 could take for something else (``off``, ``1:00``, a date) is in quotes.
PyYAML's own writer has no comments, so it is not used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .yaml_reader import Path

# Begins with a letter or slash; no ": " and no " #" within, which end a plain text.
_PLAIN = re.compile(r"[A-Za-z_/](?:[\w/.+*@:=;,'()$^~-]| (?![ #]))*\Z", re.ASCII)
# What YAML 1.1 or 1.2 takes for a boolean or for nothing.
_WORDS = frozenset({"y", "yes", "n", "no", "on", "off", "true", "false", "null"})


def write_yaml(data: Mapping[str, Any], comments: Mapping[Path, str]) -> str:
    """``data`` as YAML; ``comments`` stand behind the scalars at these paths."""
    lines: list[str] = []
    for name, value in data.items():
        if lines and isinstance(value, list):
            lines.append("")
        lines += _member((), name, value, comments)
    return "\n".join([*lines, ""])


def _member(at: Path, name: str, value: Any, comments: Mapping[Path, str]) -> Iterator[str]:
    path, key = (*at, name), scalar(name)
    if isinstance(value, dict | list) and value:
        yield f"{key}:"
        # Lists stand at the indentation of their key, as most writers have them.
        indent = "  " if isinstance(value, dict) else ""
        yield from (indent + line for line in _block(path, value, comments))
    else:
        yield f"{key}: {scalar(value)}{_comment(path, comments)}"


def _block(at: Path, value: Any, comments: Mapping[Path, str]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _member(at, name, member, comments)
        return
    for number, item in enumerate(value):
        path = (*at, number)
        if isinstance(item, dict | list) and item:
            first, *others = _block(path, item, comments)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
        else:
            yield f"- {scalar(item)}{_comment(path, comments)}"


def _comment(path: Path, comments: Mapping[Path, str]) -> str:
    return f"  # {comments[path]}" if path in comments else ""


def scalar(value: Any) -> str:
    """Return one value, or an empty list or mapping, as it stands on a line."""
    if not isinstance(value, str):
        return json.dumps(value)
    is_plain = _PLAIN.match(value) and not value.endswith((" ", ":")) and ": " not in value
    if is_plain and value.lower() not in _WORDS:
        return value
    return f'"{"".join(map(_escaped, value))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
