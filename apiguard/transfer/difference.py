"""What a file would change: entries compared with entries. Pure; knows no rows.

A row that has another name is another row, unless the file says ``was: old-name``: then
the row keeps its counters and whatever refers to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import DocumentError
from .documents import Document
from .entries import Entries, Entry, RowId, describe, name_of
from .policy_files import WAS, Wanted, nearest
from .sections import BY_NAME, parent_of

_ORDER = {name: number for number, name in enumerate(BY_NAME)}


@dataclass(frozen=True, slots=True)
class Changed:
    """A row that is another after the change.

    Attributes:
        before: with the names of now, as they are before any renaming.
        after: what the file says.
        fields: those whose values differ; the fields that name the row included.
    """

    before: Entry
    after: Entry
    fields: tuple[str, ...]

    @property
    def is_renamed(self) -> bool:
        return self.before.id[-1] != self.after.id[-1] and BY_NAME[self.after.id[0]].has_names


@dataclass(frozen=True, slots=True)
class Difference:
    """How a file differs from the policy.

    Attributes:
        created: rows of the file that there are not.
        changed: rows that differ.
        absent: rows in parts that the file covers, and not in it; by the names of now.
        ids: the new id of every row of now, if it is another; first those of rows that have
            another name themselves, each after the one that makes its new name free.
        swapped: rows of now that exchange their names, so that none of these is free.
        problems: what makes the file impossible to apply.
    """

    created: tuple[Entry, ...] = ()
    changed: tuple[Changed, ...] = ()
    absent: tuple[Entry, ...] = ()
    ids: Mapping[RowId, RowId] = field(default_factory=dict)
    swapped: frozenset[RowId] = frozenset()
    problems: tuple[DocumentError, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.created or self.changed or self.absent)


def compare_entries(current: Entries, wanted: Wanted, document: Document) -> Difference:
    """Return what is to be made, changed and, only if asked for, deleted."""
    ids, swapped, problems = _renamed_ids(current, wanted, document)
    renamed = {_new_id(entry.id, ids): _renamed(entry, ids) for entry in current.values()}
    old_ids = {_new_id(row_id, ids): row_id for row_id in current}
    created, changed = [], []
    for row_id, entry in wanted.entries.items():
        if row_id not in renamed:
            created.append(entry)
            continue
        before = current[old_ids[row_id]]
        fields = _differing(renamed[row_id], entry)
        if fields:
            changed.append(Changed(before, entry, fields))
    absent = [old_ids[row_id] for row_id in renamed if _is_absent(row_id, wanted)]
    written = [*created, *(one.after for one in changed)]
    problems += _missing_references({*renamed, *wanted.entries}, written, document)
    moved = {old: new for new, old in old_ids.items() if old != new}
    return Difference(
        tuple(sorted(created, key=_order)),
        tuple(sorted(changed, key=lambda one: _order(one.after))),
        tuple(current[row_id] for row_id in absent),
        ids | moved,
        swapped,
        tuple(problems),
    )


def _order(entry: Entry) -> int:
    """Rows come after those that they refer to; the order of the file decides among equals."""
    return _ORDER[entry.id[0]]


def _differing(before: Entry, after: Entry) -> tuple[str, ...]:
    return tuple(
        name for name, value in after.values.items() if not same(before.values.get(name), value)
    )


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are the same; 1, 1.0 and true are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


# -- names ----------------------------------------------------------------------------


def _renamed_ids(
    current: Entries, wanted: Wanted, document: Document
) -> tuple[dict[RowId, RowId], frozenset[RowId], list[DocumentError]]:
    """Return the new ids of rows that had another name, those of outer sections first.

    Besides them those rows that exchange their names, and what is wrong.
    """
    ids: dict[RowId, RowId] = {}
    swapped: set[RowId] = set()
    problems = _claimed_twice(wanted, document)
    for is_inner in (False, True):
        pending = [
            entry
            for entry in wanted.entries.values()
            if entry.was and (parent_of(BY_NAME[entry.id[0]]) is not None) is is_inner
        ]
        names = {_new_id(row_id, ids): row_id for row_id in current}
        # A chain (b was a, c was b) is followed from its end; each name must be free by then.
        while entry := next((one for one in pending if _may_move(one, names)), None):
            pending.remove(entry)
            row_id = names.pop(_old_id(entry))
            names[entry.id] = row_id
            ids[row_id] = entry.id
        for entries in _cycles(pending):
            if not all(entry.id in names for entry in entries):
                continue  # One of these names is new, or gone: there is nothing to exchange.
            rows = {names[_old_id(entry)]: entry for entry in entries}
            owns = {names[entry.id]: entry for entry in entries}
            if _is_same(owns, current, ids):
                continue  # It has been done: ``was`` may stay in the file.
            if not _is_same(rows, current, ids | {row: each.id for row, each in rows.items()}):
                problems += [_unclear_swap(entry, document) for entry in entries]
                continue
            names |= {entry.id: row_id for row_id, entry in rows.items()}
            ids |= {row_id: entry.id for row_id, entry in rows.items()}
            swapped |= rows.keys()
    return ids, frozenset(swapped), problems


def _old_id(entry: Entry) -> RowId:
    return (*entry.id[:-1], entry.was)


def _cycles(pending: Iterable[Entry]) -> list[list[Entry]]:
    """Return the groups of entries of which each has the name that another one had."""
    by_old = {_old_id(entry): entry for entry in pending}
    found: list[list[Entry]] = []
    while by_old:
        start, entry = by_old.popitem()
        chain = [entry]
        while (following := by_old.pop(entry.id, None)) is not None:
            chain.append(entry := following)
        if entry.id == start:
            found.append(chain)
    return found[::-1]


def _is_same(rows: Mapping[RowId, Entry], current: Entries, ids: Mapping[RowId, RowId]) -> bool:
    """Whether each row has the values of its entry already, apart from its name."""
    return all(
        set(_differing(_renamed(current[row_id], ids), entry)) <= {BY_NAME[row_id[0]].natural[-1]}
        for row_id, entry in rows.items()
    )


def _unclear_swap(entry: Entry, document: Document) -> DocumentError:
    reason = (
        f"The {describe(_old_id(entry))} may have been renamed already: its other values change "
        "too, so the two rows cannot be distinguished."
    )
    hint = f"Apply a file that only exchanges the names first; if that is done, delete {WAS}."
    return document.error((*entry.path, WAS), "unclear_swap", reason, hint)


def _claimed_twice(wanted: Wanted, document: Document) -> list[DocumentError]:
    claimed: set[RowId] = set()
    problems = []
    for entry in wanted.entries.values():
        old = _old_id(entry)
        if entry.was and old in claimed:
            reason = f"Two rows of the file say that they were {entry.was!r}."
            problems.append(document.error((*entry.path, WAS), "claimed_twice", reason))
        claimed.add(old)
    return problems


def _may_move(entry: Entry, names: Mapping[RowId, RowId]) -> bool:
    return entry.id not in names and _old_id(entry) in names


def _new_id(row_id: RowId, ids: Mapping[RowId, RowId]) -> RowId:
    """The id of a row after all renamings, of the row above it and of those it is named by."""
    if row_id in ids:
        return ids[row_id]
    section = BY_NAME.get(row_id[0])
    if section is None:
        return row_id  # A user.
    parts = list(row_id)
    above = parent_of(section)
    if above is not None and len(row_id) > 2:
        parts[1] = ids.get((above.name, row_id[1]), (above.name, row_id[1]))[1]
    if section.natural[0] in section.references:
        target = section.references[section.natural[0]]
        referred = (target, *row_id[2].split("/", 1))
        parts[2] = name_of(_new_id(referred, ids))
    return tuple(parts)


def _renamed(entry: Entry, ids: Mapping[RowId, RowId]) -> Entry:
    """Return the entry with its references as they are after all renamings."""
    values = {
        name: _new_id(value, ids) if isinstance(value, tuple) else value
        for name, value in entry.values.items()
    }
    return replace(entry, id=_new_id(entry.id, ids), values=values)


# -- rows that are not in the file --------------------------------------------------------


def _is_absent(row_id: RowId, wanted: Wanted) -> bool:
    if row_id in wanted.entries:
        return False
    above = parent_of(BY_NAME[row_id[0]])
    if above is None:
        return (row_id[0], "") in wanted.covered
    # What stands under a row that goes, goes with it.
    return (row_id[0], row_id[1]) in wanted.covered or _is_absent((above.name, row_id[1]), wanted)


# -- references ---------------------------------------------------------------------------


def _missing_references(
    ids: set[RowId], written: Iterable[Entry], document: Document
) -> list[DocumentError]:
    problems = []
    for entry in written:
        for name, value in entry.values.items():
            if not isinstance(value, tuple) or not value[0] or value in ids:
                continue
            names = [name_of(row_id) for row_id in ids if row_id[0] == value[0]]
            meant = nearest(name_of(value), names)
            hint = "" if meant else "Write it into the file too, or the name of one that exists."
            reason = f"There is no {describe(value)}."
            path = (*entry.path, name)
            problems.append(document.error(path, "missing_row", reason, hint, suggestion=meant))
    return problems
