"""Rows as a file would have them: values set on instances, and what the models say of them.

Nothing here is saved. ``plan`` judges copies, ``apply`` sets the same values on the rows
that it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from ..models import AllowedOrigin, PolicyModel
from ..models.state import write_alias
from ..policy.rows import MODELS, OriginRow, Rows
from .difference import Difference
from .entries import Entry, Policy, RowId
from .sections import BY_MODEL, BY_NAME, stored

# Primary keys of rows that are not saved; behind those of all rows that are.
FIRST_NEW_PK = 2**40


def user_pks(entries: Iterable[Entry]) -> dict[RowId, Any]:
    """Return the primary keys of the users whom these entries name, of those that there are."""
    names = {
        value[1]
        for entry in entries
        for value in entry.values.values()
        if isinstance(value, tuple) and not value[0]
    }
    if not names:
        return {}
    users = get_user_model()
    field = users.USERNAME_FIELD
    rows = users._base_manager.using(write_alias()).filter(**{f"{field}__in": names})
    return {("", name): pk for pk, name in rows.values_list("pk", field)}


def new_row(entry: Entry, pks: Mapping[RowId, Any]) -> PolicyModel:
    """Return an unsaved row with the values of an entry."""
    section = BY_NAME[entry.id[0]]
    row = section.model()
    if section.parent:
        parent: Any = section.model._meta.get_field(section.parent)
        above = BY_MODEL[parent.related_model].name
        setattr(row, parent.attname, pks.get((above, entry.parent)))
    set_values(row, entry, section.fields, pks)
    return row


def set_values(
    row: PolicyModel, entry: Entry, names: Iterable[str], pks: Mapping[RowId, Any]
) -> None:
    """Set the fields of these names to what the entry says."""
    section = BY_NAME[entry.id[0]]
    for name in names:
        each, value = section.fields[name], entry.values[name]
        if isinstance(value, tuple):
            setattr(row, each.attname, pks.get(value))
        else:
            setattr(row, each.attname, stored(each, value))


def future_rows(
    policy: Policy, difference: Difference, users: Mapping[RowId, Any], *, prune: bool
) -> dict[RowId, PolicyModel]:
    """Return all rows as they would be, by their new ids; new ones have made-up primary keys."""
    ids = difference.ids
    rows = {ids.get(row_id, row_id): row for row_id, row in policy.rows.items()}
    pks = {row_id: row.pk for row_id, row in rows.items()} | dict(users)
    for number, entry in enumerate(difference.created):
        pks[entry.id] = FIRST_NEW_PK + number
    for changed in difference.changed:
        row = copy(rows[changed.after.id])
        set_values(row, changed.after, changed.fields, pks)
        rows[changed.after.id] = row
    for entry in difference.created:
        row = new_row(entry, pks)
        row.pk = pks[entry.id]
        rows[entry.id] = row
    for entry in difference.absent if prune else ():
        del rows[ids.get(entry.id, entry.id)]
    return rows


def compiled_rows(rows: Iterable[PolicyModel]) -> Rows:
    """Return those of the rows that are compiled."""
    members: dict[type[PolicyModel], str] = {model: name for name, model in MODELS.items()}
    found: dict[str, list[Any]] = {name: [] for name in MODELS}
    for row in rows:
        if (member := members.get(type(row))) is not None:
            # There may be very many origins; without their instances they compile much faster.
            kept = OriginRow.of(row) if isinstance(row, AllowedOrigin) else row
            found[member].append(kept)
    return Rows(
        **{name: tuple(sorted(each, key=lambda row: row.pk)) for name, each in found.items()}
    )


def mistakes(row: PolicyModel, *, in_database: bool = False) -> Iterator[tuple[str, str]]:
    """Yield field and sentence of everything that validation says of a row.

    Args:
        in_database: validate references and uniqueness too, with queries.
    """
    found: dict[tuple[str, str], None] = {}
    references = [
        field.name for field in row._meta.concrete_fields if field.is_relation or field.primary_key
    ]
    steps = [lambda: row.clean_fields(exclude=None if in_database else references), row.clean]
    if in_database:
        steps += [row.validate_unique, row.validate_constraints]
    for step in steps:
        try:
            step()
        except ValidationError as error:
            found |= dict.fromkeys(_sentences(error))
    yield from found


def _sentences(error: ValidationError) -> Iterator[tuple[str, str]]:
    by_field = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
    for field, messages in by_field.items():
        for message in messages:
            yield "" if field == NON_FIELD_ERRORS else field, message
