"""Policy as entries: one per row, named as files name it, with plain values.

What a database holds and what a file says become the same kind of entries, so that they
can be compared without either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..models import PolicyModel, PolicyState
from ..models.state import write_alias
from ..policy import load
from .sections import BY_MODEL, SECTIONS, WITH_CLIENTS, Section, written
from .yaml_reader import Path

RowId = tuple[str, ...]
"""The name of a section, the name of the parent row if there is one, and the row's own."""

Entries = Mapping[RowId, "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row.

    Attributes:
        id: how it is named; references of other entries are such ids too.
        values: every field that files hold.
        was: the name that it had before, as its file says.
        path: where it stands in its file.
    """

    id: RowId
    values: Mapping[str, Any]
    was: str = ""
    path: Path = field(default=(), compare=False)

    @property
    def parent(self) -> str:
        """The name of the row under which this one stands; empty if under none."""
        return self.id[1] if len(self.id) > 2 else ""


def describe(row_id: RowId) -> str:
    """Return an entry as people call it, such as ``limit 'free/per-minute'``."""
    label = next(section.label for section in SECTIONS if section.name == row_id[0])
    return f"{label} {name_of(row_id)!r}"


def name_of(row_id: RowId) -> str:
    """Return the name of a row with those above it, as references are written."""
    return "/".join(part for part in row_id[1:] if part)


@dataclass(frozen=True, slots=True)
class Policy:
    """All rows of one revision, as entries and as rows."""

    state: PolicyState
    entries: Entries
    rows: Mapping[RowId, PolicyModel]
    has_clients: bool

    def rows_of(self, name: str) -> list[Any]:
        """Return the rows of a section, in the order of their primary keys."""
        return [row for row_id, row in self.rows.items() if row_id[0] == name]


def read_policy(*, with_clients: bool = True) -> Policy:
    """Read all rows as they stand under one revision.

    Raises:
        PolicyMoved: the revision moved during every attempt.
    """
    state = load.state()
    for _ in range(load.ATTEMPTS):
        entries, rows = _read(with_clients)
        after = load.state()
        if (after.revision, after.stamp) == (state.revision, state.stamp):
            return Policy(after, entries, rows, with_clients)
        state = after
    raise load.PolicyMoved


def _read(with_clients: bool) -> tuple[Entries, Mapping[RowId, PolicyModel]]:
    found = {
        section.name: _rows_of(section)
        for section in SECTIONS
        if with_clients or section.name not in WITH_CLIENTS
    }
    ids = _Ids(found)
    entries: dict[RowId, Entry] = {}
    by_id: dict[RowId, PolicyModel] = {}
    for name, rows in found.items():
        for row in rows:
            row_id = ids.of_row[name][row.pk]
            entries[row_id] = Entry(row_id, ids.values(row))
            by_id[row_id] = row
    return entries, by_id


def _rows_of(section: Section) -> Sequence[Any]:
    rows = section.model._base_manager.using(write_alias()).order_by("pk")
    users = [name for name, target in section.references.items() if not target]
    return list(rows.select_related(*users) if users else rows)


class _Ids:
    """The id of every row, by section and primary key."""

    def __init__(self, found: Mapping[str, Iterable[Any]]) -> None:
        self.of_row: dict[str, dict[Any, RowId]] = {section.name: {} for section in SECTIONS}
        for section in SECTIONS:
            for row in found.get(section.name, ()):
                self.of_row[section.name][row.pk] = self._id(section, row)

    def _id(self, section: Section, row: Any) -> RowId:
        above: tuple[str, ...] = ()
        if section.parent:
            parent: Any = section.model._meta.get_field(section.parent)
            pk = getattr(row, parent.attname)
            above = self._referred(BY_MODEL[parent.related_model].name, pk)[1:]
        parts = []
        for name in section.natural:
            if name in section.references:
                pk = getattr(row, section.fields[name].attname)
                parts.append(name_of(self._referred(section.references[name], pk)))
            else:
                parts.append(section.as_key(getattr(row, name)))
        return (section.name, *above, *parts)

    def _referred(self, name: str, pk: Any) -> RowId:
        # A row that is missing has no name; raw SQL may leave such references.
        return self.of_row[name].get(pk, (name, f"#{pk}"))

    def values(self, row: Any) -> dict[str, Any]:
        """Return the values of the fields that files hold."""
        section = BY_MODEL[type(row)]
        values: dict[str, Any] = {}
        for name, each in section.fields.items():
            target = section.references.get(name)
            if target is None:
                values[name] = written(each, getattr(row, name))
            elif getattr(row, each.attname) is None:
                values[name] = None
            elif target:
                values[name] = self._referred(target, getattr(row, each.attname))
            else:
                values[name] = ("", getattr(row, name).get_username())
        return values
