"""A document as entries: which rows it wants, each checked for shape and types.

What a value means is checked later, by the rules of the rows. A field that a file leaves
out has its default; a section, or a list of rows under a row, that it leaves out is none
of its business.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import models

from ..errors import DocumentError
from .documents import Document
from .entries import Entry, RowId, describe, name_of
from .export import VERSION
from .sections import (
    BY_NAME,
    AnyField,
    Section,
    children_of,
    parent_of,
    public_keys,
    stored,
    top_sections,
    written,
)
from .yaml_reader import Path

MAX_PROBLEMS = 50
WAS = "was"


@dataclass(slots=True)
class Wanted:
    """What a file says.

    Attributes:
        entries: the rows, in the order of the file.
        covered: the sections, and the lists of rows under a row, that the file holds:
            pairs of a section's name and the parent's name.
        problems: what is wrong; where there is anything, the rest means nothing.
    """

    entries: dict[RowId, Entry] = field(default_factory=dict)
    covered: set[tuple[str, str]] = field(default_factory=set)
    problems: list[DocumentError] = field(default_factory=list)


def read_wanted(document: Document) -> Wanted:
    """Return the entries of a document, or what is wrong with it; never raises for what it says."""
    reader = _Reader(document)
    reader.read()
    return reader.wanted


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.wanted = Wanted()

    def read(self) -> None:
        data = self.document.data
        sections = {section.name: section for section in top_sections()}
        self._refuse_unknown((), data, ["version", *sections], "section")
        if data.get("version", VERSION) not in (VERSION,) or data.get("version") is True:
            self._problem(("version",), "version", f"This release reads version {VERSION}.")
        for name, section in sections.items():
            if name in data:
                self._rows(section, (), (), data[name], (name,))

    def _problem(
        self, path: Path, code: str, reason: str, hint: str = "", suggestion: str | None = None
    ) -> None:
        if len(self.wanted.problems) < MAX_PROBLEMS:
            error = self.document.error(path, code, reason, hint, suggestion=suggestion)
            self.wanted.problems.append(error)

    def _refuse_unknown(
        self, path: Path, data: Mapping[str, Any], known: Sequence[str], what: str
    ) -> None:
        for name in data:
            if name not in known:
                meant = nearest(name, known)
                hint = "" if meant else f"There are: {', '.join(known)}."
                reason = f"{name!r} is no {what}."
                self._problem((*path, name), f"unknown_{what}", reason, hint, meant)

    def _rows(
        self, section: Section, above: tuple[str, ...], parent: Path, items: Any, path: Path
    ) -> None:
        self.wanted.covered.add((section.name, above[0] if above else ""))
        if items is None:
            items = []  # "routes:" with nothing below it.
        if not isinstance(items, list):
            self._problem(
                path, "not_a_list", f"{section.name} is no list.", "Begin rows with '- '."
            )
            return
        for number, item in enumerate(items):
            at = (*path, number)
            if isinstance(item, dict):
                self._row(section, above, item, at)
            else:
                reason = f"This {section.label} is no mapping."
                self._problem(at, "not_a_mapping", reason, f"Write {section.natural[0]}: …")

    def _row(
        self, section: Section, above: tuple[str, ...], item: Mapping[str, Any], at: Path
    ) -> None:
        children = children_of(section)
        known = [*section.fields, *(child.name for child in children)]
        if section.has_names:
            known.append(WAS)
        self._refuse_unknown(at, item, known, "field")
        values = {
            name: self._value(section, name, each, item, at)
            for name, each in section.fields.items()
        }
        own = self._own_name(section, values, at)
        if own is None:
            return
        row_id: RowId = (section.name, *above, *own)
        was = item.get(WAS, "")
        if not isinstance(was, str):
            self._problem((*at, WAS), "not_text", "was is no name.", "Write the former name.")
            was = ""
        if row_id in self.wanted.entries:
            self._problem(at, "repeated_row", f"{describe(row_id)} stands in the file twice.")
            return
        self.wanted.entries[row_id] = Entry(row_id, values, was, at)
        for child in children:
            if child.name in item:
                path = (*at, child.name)
                self._rows(child, own, at, item[child.name], path)

    def _own_name(
        self, section: Section, values: Mapping[str, Any], at: Path
    ) -> tuple[str, ...] | None:
        parts = []
        for name in section.natural:
            value = values.get(name)
            if value is None or value == "":
                return None  # A missing value has been reported; an empty one is, here.
            parts.append(name_of(value) if isinstance(value, tuple) else section.as_key(value))
        return tuple(parts)

    def _value(
        self, section: Section, name: str, each: AnyField, item: Mapping[str, Any], at: Path
    ) -> Any:
        path = (*at, name)
        if name not in item:
            if not (each.has_default() or each.null or each.blank):
                self._problem(at, "missing_field", f"The {section.label} has no {name}.")
                return None
            return written(each, each.get_default())
        value = item[name]
        if value is None and each.null:
            return None
        if value == "" and name in section.natural:
            self._problem(path, "empty_name", f"The {name} is empty.", "Write a name.")
            return None
        if name in section.references:
            return self._reference(section.references[name], value, path)
        problem = type_problem(each, value)
        if problem:
            self._problem(path, "wrong_type", *problem)
            return None
        return written(each, each.to_python(stored(each, value)))

    def _reference(self, target: str, value: Any, path: Path) -> RowId | None:
        if not isinstance(value, str) or not value:
            self._problem(path, "not_a_name", "This is no name of a row.", "Write it as text.")
            return None
        if not target:
            return ("", value)
        if parent_of(BY_NAME[target]) is None:
            return (target, value)
        above, slash, own = value.partition("/")
        if not slash:
            hint = "Write the name of its tier first, such as free/per-minute."
            self._problem(path, "not_a_name", f"{value!r} names no limit.", hint)
            return None
        return (target, above, own)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that may have been meant."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return found[0] if found else None


def type_problem(each: AnyField, value: Any) -> tuple[str, str] | None:
    """Return reason and hint if a value of a file is not of its field's type."""
    if _has_nul(value):
        return "This holds the character NUL, which databases refuse.", "Remove it."
    if isinstance(each, models.BooleanField):
        return None if isinstance(value, bool) else _wrong(value, "true or false")
    if isinstance(each, models.IntegerField):
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return None if is_whole else _wrong(value, "a whole number")
    if isinstance(each, models.DateTimeField):
        return _time_problem(value)
    if isinstance(each, models.JSONField):
        default = each.get_default()
        if isinstance(default, list):
            is_list = isinstance(value, list) and all(isinstance(one, str) for one in value)
            return None if is_list else _wrong(value, "a list of texts")
        return _object_problem(each, value)
    return None if isinstance(value, str) else _wrong(value, "text")


def _object_problem(each: AnyField, value: Any) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return _wrong(value, "a mapping")
    if each.name == "jwks" and public_keys(value) != value:
        # Reported without the value: it is a secret.
        reason = "The key set holds a private key or a secret, and whoever reads it can sign."
        return reason, "Write public keys only, and have the issuer replace this one."
    return None


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\0" in name or _has_nul(member) for name, member in value.items())
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def _wrong(value: Any, wanted: str) -> tuple[str, str]:
    given = "empty" if value is None else f"{value!r}" if isinstance(value, str | int) else "other"
    hint = "Write it in quotes." if wanted == "text" and value is not None else ""
    return f"This is {given}, not {wanted}.", hint or f"Write {wanted}."


def _time_problem(value: Any) -> tuple[str, str] | None:
    hint = "Write it as 2026-12-31T23:59:59Z."
    if not isinstance(value, str):
        return "This is no time.", hint
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return f"{value!r} is no time.", hint
    if at.tzinfo is None:
        return f"{value!r} has no time zone.", hint
    try:
        at.astimezone(UTC)
    except (OverflowError, ValueError):
        return f"{value!r} is out of range.", hint
    return None
