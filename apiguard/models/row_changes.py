"""What a write did to rows, found by reading them before and after it.

Read back from the database, so that what an expression or a default came to is
known, whichever of Django's ways wrote it. Values are as JSON holds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import models, router

from .audit import Entry, PolicyChange

# Databases bound how many values a query may hold.
AT_ONCE = 500


class StoredRow(NamedTuple):
    """A row as it stands in the database: what it is called, and its values by column."""

    name: str
    values: Mapping[str, Any]


Stored = Mapping[Any, StoredRow]


def stored_row(row: Any) -> StoredRow:
    """Return a row that was just read; without what the history must not repeat."""
    left_out = row.unaudited | row.revision_columns(0).keys()
    values = {
        field.attname: _plain(getattr(row, field.attname))
        for field in row._meta.concrete_fields
        if field.attname not in left_out
    }
    return StoredRow(str(row), values)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    known = (bool, int, float, str, list, dict)
    return value if value is None or isinstance(value, known) else str(value)


def _chunks(pks: Iterable[Any]) -> Iterator[list[Any]]:
    left = list(pks)
    for start in range(0, len(left), AT_ONCE):
        yield left[start : start + AT_ONCE]


def read_rows(
    model: type[models.Model], using: str, pks: Iterable[Any] | None = None
) -> dict[Any, StoredRow]:
    """Return the rows with these primary keys, or all rows, by primary key."""
    rows: Any = model._base_manager.using(using).order_by("pk")
    if pks is None:
        return {row.pk: stored_row(row) for row in rows.iterator(AT_ONCE)}
    found: dict[Any, StoredRow] = {}
    for some in _chunks(pks):
        found |= {row.pk: stored_row(row) for row in rows.filter(pk__in=some)}
    return found


def compare_rows(
    model: type[models.Model], before: Stored, after: Stored, using: str, action: str = ""
) -> list[Entry]:
    """Return an entry for each row that is new, gone or different; ``action`` instead of theirs."""
    entries = [
        _entry(model, pk, before.get(pk), after.get(pk), action)
        for pk in dict.fromkeys([*before, *after])
        if before.get(pk) is None or after.get(pk) is None or _differing(before[pk], after[pk])
    ]
    return list(with_names(model, entries, using))


def compare_row(
    model: type[models.Model],
    pk: Any,
    before: StoredRow | None,
    after: StoredRow | None,
    using: str,
) -> list[Entry]:
    """Return the entry of one row, also where nothing differs."""
    return list(with_names(model, [_entry(model, pk, before, after)], using))


def _differing(before: StoredRow, after: StoredRow) -> list[str]:
    return sorted(name for name in after.values if before.values.get(name) != after.values[name])


def _entry(
    model: type[models.Model],
    pk: Any,
    before: StoredRow | None,
    after: StoredRow | None,
    action: str = "",
) -> Entry:
    label, row = model._meta.label_lower, after or before
    name = "" if row is None else row.name
    if before is None or after is None:
        own = PolicyChange.Action.DELETED if after is None else PolicyChange.Action.CREATED
        old, new = (None if one is None else dict(one.values) for one in (before, after))
        return Entry(action or own, label, pk, name, old, new)
    names = _differing(before, after)
    old = {name: before.values.get(name) for name in names}
    new = {name: after.values[name] for name in names}
    return Entry(action or PolicyChange.Action.CHANGED, label, pk, name, old, new)


def with_names(model: type[models.Model], entries: Iterable[Entry], using: str) -> Iterator[Entry]:
    """Yield the entries with what the rows that they refer to are called."""
    entries = list(entries)
    references = [field for field in model._meta.concrete_fields if field.is_relation]
    known: dict[str, dict[str, str]] = {}
    for reference in references:
        pks = {
            values[reference.attname]
            for entry in entries
            for values in (entry.before, entry.after)
            if values and values.get(reference.attname) is not None
        }
        if pks:
            known[reference.attname] = _names(reference, pks)
    for entry in entries:
        values = [one for one in (entry.before, entry.after) if one]
        names = {
            column: {
                str(one[column]): known[column][str(one[column])]
                for one in values
                if str(one.get(column)) in known[column]
            }
            for column in known
        }
        yield Entry(
            *(entry.action, entry.model, entry.pk, entry.name, entry.before, entry.after),
            names={column: found for column, found in names.items() if found},
        )


def _names(reference: models.Field[Any, Any], pks: Iterable[Any]) -> dict[str, str]:
    target: Any = reference.related_model
    rows = target._base_manager.using(router.db_for_write(target))
    found: dict[str, str] = {}
    for some in _chunks(pks):
        found |= {str(row.pk): str(row)[:255] for row in rows.filter(pk__in=some)}
    return found
