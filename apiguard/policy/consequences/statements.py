"""One consequence of an edit as a sentence, and what has to be counted to write it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from ...rules.limits import Limit
from ...rules.rates import format_rate

WHERE = "{where}"
"""Stands in the text of a ``Draft`` for the paths that it is about."""

LISTED = 5


class Kind(StrEnum):
    """What a statement is about, the most dangerous first."""

    OPENS = "opens"
    REMOVES = "removes"
    CLOSES = "closes"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class Callers:
    """Numbers of rows that are not part of a snapshot, as they were before the edit.

    Attributes:
        clients: enabled clients by the primary key of their tier.
        overrides: overrides by the primary key of their limit.
        off: name and prefix of every route that is switched off.
    """

    clients: Mapping[Any, int] = field(default_factory=dict)
    overrides: Mapping[Any, int] = field(default_factory=dict)
    off: tuple[tuple[Any, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """A consequence.

    Attributes:
        code: a word for programs.
        prefixes: the path prefixes that it is about; empty: any path.
        confirm: whether the edit waits until a person has confirmed it.
    """

    kind: Kind
    code: str
    text: str
    prefixes: tuple[str, ...] = ()
    confirm: bool = True

    def __str__(self) -> str:
        return self.text


class Draft(NamedTuple):
    """A statement about one path prefix; equal ones about other prefixes become one."""

    kind: Kind
    code: str
    text: str
    prefix: str = ""
    confirm: bool = True


def merge(drafts: Iterable[Draft]) -> tuple[Statement, ...]:
    """Return the statements, equal ones about several prefixes merged, openings first."""
    prefixes: dict[tuple[Kind, str, str, bool], list[str]] = {}
    for draft in drafts:
        key = (draft.kind, draft.code, draft.text, draft.confirm)
        found = prefixes.setdefault(key, [])
        if draft.prefix and draft.prefix not in found:
            found.append(draft.prefix)
    merged = [
        Statement(kind, code, text.replace(WHERE, listed(where)), tuple(where), confirm)
        for (kind, code, text, confirm), where in prefixes.items()
    ]
    order = list(Kind)
    return tuple(sorted(merged, key=lambda statement: order.index(statement.kind)))


def digest(statements: Iterable[Statement]) -> str:
    """Return a short hash of the statements that wait for a confirmation; "" without one."""
    texts = sorted(statement.text for statement in statements if statement.confirm)
    if not texts:
        return ""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]


def listed(items: Iterable[str], most: int = LISTED) -> str:
    """Return the items as one text, the last ones only counted."""
    found = list(items)
    shown, left = found[:most], len(found) - most
    if left > 0:
        return f"{', '.join(shown)} and {left:,} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def count_of(number: int, noun: str) -> str:
    """Return such as "1 client" or "1,000 clients"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rate_of(limit: Limit) -> str:
    """Return the rate of a limit as people write it."""
    return format_rate(limit.rate)
