"""Read JSON from the network strictly, in one way only (RFC 8259, RFC 7493).

What may be read in two ways is refused: duplicate members, ``NaN``, bytes that
are not UTF-8, lone surrogates, deep nesting, numbers of thousands of digits.
For any bytes only ``JsonRefused`` is raised. Linear work: cap lengths first.
"""

from __future__ import annotations

import json
import math
import re
from enum import StrEnum
from typing import Any

MAX_DEPTH = 16
MAX_NUMBER_LENGTH = 64

# A string (also an unterminated one, up to the end) or a bracket; possessive,
# so that quotes in a row cost linear time.
_JSON_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class JsonProblem(StrEnum):
    """Why bytes are not an object that everybody reads alike."""

    BAD_UTF8 = "bad_utf8"
    BAD_JSON = "bad_json"
    BAD_NUMBER = "bad_number"
    DUPLICATE_MEMBER = "duplicate_member"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"


class JsonRefused(Exception):
    """Bytes that are not accepted, and the one reason why."""

    def __init__(self, problem: JsonProblem) -> None:
        super().__init__(problem.value)
        self.problem = problem


def read_object(raw: bytes) -> dict[str, Any]:
    """Return the object that ``raw`` spells.

    Raises:
        JsonRefused: it spells none, or more than one reader could agree on.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonRefused(JsonProblem.BAD_UTF8) from None
    _require(not text.startswith("\ufeff"), JsonProblem.BAD_UTF8)
    _require(not _is_too_deep(text), JsonProblem.TOO_DEEP)
    try:
        value = _JSON.decode(text)
    except ValueError:
        raise JsonRefused(JsonProblem.BAD_JSON) from None
    if not isinstance(value, dict):
        raise JsonRefused(JsonProblem.NOT_AN_OBJECT)
    _require(not _has_lone_surrogate(text, value), JsonProblem.BAD_UTF8)
    return value


def _require(condition: bool, problem: JsonProblem) -> None:
    if not condition:
        raise JsonRefused(problem)


def _is_too_deep(text: str) -> bool:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    depth = 0
    for match in _JSON_TOKEN.finditer(text):
        if match[0] in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif match[0] in "}]":
            depth -= 1
    return False


def _has_lone_surrogate(text: str, value: object) -> bool:
    """Whether an escape made a string that no UTF-8 can carry (RFC 8259 section 8.2)."""
    if "\\u" not in text:
        return False
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    _require(len(members) == len(pairs), JsonProblem.DUPLICATE_MEMBER)
    return members


def _whole(text: str) -> int:
    # int() takes quadratic time, and refuses thousands of digits with a ValueError.
    _require(len(text) <= MAX_NUMBER_LENGTH, JsonProblem.BAD_NUMBER)
    return int(text)


def _fraction(text: str) -> float:
    _require(len(text) <= MAX_NUMBER_LENGTH, JsonProblem.BAD_NUMBER)
    number = float(text)
    _require(math.isfinite(number), JsonProblem.BAD_NUMBER)
    return number


def _not_a_number(_: str) -> float:
    raise JsonRefused(JsonProblem.BAD_NUMBER)


_JSON = json.JSONDecoder(
    object_pairs_hook=_unique_members,
    parse_int=_whole,
    parse_float=_fraction,
    parse_constant=_not_a_number,
)
