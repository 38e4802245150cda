"""A file of policy as plain data, and where each part of it stands.

JSON is read without any other package; YAML needs PyYAML. Both are read in one way only:
repeated names are refused, sizes and depths are bounded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import DocumentError
from ..rules.strict_json import JsonProblem, JsonRefused, read_object
from .yaml_reader import Path, Position, read_yaml

# A hundred thousand origins, each with a note, are about half of it.
MAX_BYTES = 16 * 2**20

_JSON_REASONS = {
    JsonProblem.BAD_UTF8: "The file is not UTF-8, or holds half a character.",
    JsonProblem.BAD_JSON: "This is not JSON.",
    JsonProblem.BAD_NUMBER: "A number is too long, or is no number of JSON.",
    JsonProblem.DUPLICATE_MEMBER: "An object has a member twice.",
    JsonProblem.TOO_DEEP: "The file is nested too deeply.",
    JsonProblem.NOT_AN_OBJECT: "The file is no object.",
}


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data, and the line and column of its parts where they are known."""

    data: Mapping[str, Any]
    positions: Mapping[Path, Position] = field(default_factory=dict)

    def error(
        self, path: Path, code: str, reason: str, hint: str = "", *, suggestion: str | None = None
    ) -> DocumentError:
        """Return a mistake at ``path``; its position is that of the nearest part that has one."""
        known = (path[:end] for end in range(len(path), -1, -1) if path[:end] in self.positions)
        position = next((self.positions[part] for part in known), None)
        return DocumentError(
            code, "", reason, hint, field=path_text(path), suggestion=suggestion, position=position
        )


def path_text(path: Path) -> str:
    """Return a path as people write it, such as ``routes[0].methods``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).lstrip(".")


def read_document(raw: bytes) -> Document:
    """Return the data of a file: JSON where it begins with ``{``, else YAML.

    Raises:
        DocumentError: it is neither, too large, or has something that is refused.
        YamlNotInstalled: it is YAML, and PyYAML is missing.
    """
    if len(raw) > MAX_BYTES:
        reason = f"The file has more than {MAX_BYTES:,} bytes."
        raise DocumentError("too_large", "", reason, "Split it by sections.")
    if raw.lstrip()[:1] == b"{":
        return Document(_read_json(raw))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        reason, at = "The file is not UTF-8.", (line, 1)
        raise DocumentError("bad_utf8", "", reason, "Save it as UTF-8.", position=at) from None
    data, positions = read_yaml(text)
    if not isinstance(data, dict):
        reason, hint = "The file is no mapping of sections.", "Begin it with a section: routes:"
        raise DocumentError("not_a_mapping", "", reason, hint, position=positions.get((), (1, 1)))
    return Document(data, positions)


def _read_json(raw: bytes) -> Mapping[str, Any]:
    try:
        return read_object(raw)
    except JsonRefused as refused:
        problem = refused.problem
    position, why = None, ""
    if problem is JsonProblem.BAD_JSON:
        try:
            json.loads(raw)
        except json.JSONDecodeError as error:
            position, why = (error.lineno, error.colno), f"{error.msg}."
        except ValueError:
            pass
    reason = _JSON_REASONS[problem]
    raise DocumentError(problem.value, "", reason, why, position=position)
