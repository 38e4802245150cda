"""The rows that the history leads to, and how the rows in force differ from them.

Replaying every entry from the first gives the rows in force, unless somebody wrote
past the models, as raw SQL does, or old entries were deleted (``HISTORY_KEEP_DAYS``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps

from .. import conf
from ..models import PolicyChange, PolicyModel
from ..models.audit import Entry
from ..models.row_changes import StoredRow, compare_rows, read_rows


def policy_models() -> list[type[PolicyModel]]:
    """Return the models whose rows are policy."""
    models = apps.get_app_config("apiguard").get_models()
    return [model for model in models if issubclass(model, PolicyModel)]


@dataclass(slots=True)
class History:
    """What the history knows: of each model, rows by primary key as text."""

    rows: dict[str, dict[str, StoredRow]] = field(default_factory=dict)
    gone: set[tuple[str, str]] = field(default_factory=set)

    def apply(self, change: PolicyChange) -> None:
        """Go on by one entry."""
        if not change.is_of_a_row:
            return
        rows = self.rows.setdefault(change.model, {})
        if change.after is None:
            rows.pop(change.object_pk, None)
            self.gone.add((change.model, change.object_pk))
            return
        self.gone.discard((change.model, change.object_pk))
        known = rows.get(change.object_pk) if change.before is not None else None
        values = {**known.values, **change.after} if known is not None else change.after
        rows[change.object_pk] = StoredRow(change.object_name, values)


def replay(changes: Iterable[PolicyChange]) -> History:
    """Return what these entries come to, the oldest first."""
    history = History()
    for change in changes:
        history.apply(change)
    return history


def recorded(using: str) -> History:
    """Return what the whole history comes to."""
    return replay(PolicyChange.objects.using(using).order_by("pk").iterator(1000))


def find_unrecorded(using: str) -> list[Entry]:
    """Return an entry for each row that is not as the history says."""
    history = recorded(using)
    is_complete = conf.current().history_keep_days is None
    found: list[Entry] = []
    for model in policy_models():
        known = history.rows.get(model._meta.label_lower, {})
        stored = read_rows(model, using)
        pks = {str(pk): pk for pk in stored}
        before = {pks.get(pk, pk): row for pk, row in known.items()}
        after = {
            pk: _as_known(row, before.get(pk))
            for pk, row in stored.items()
            # The state of a row whose entries were deleted is unknown.
            if is_complete or pk in before
        }
        action = PolicyChange.Action.FOUND
        found += compare_rows(model, before, after, using, action)
    return found


def _as_known(row: StoredRow, known: StoredRow | None) -> StoredRow:
    """Return a row without columns that its history never had: a migration added them."""
    if known is None:
        return row
    values: Mapping[str, Any] = {
        name: value for name, value in row.values.items() if name in known.values
    }
    return StoredRow(row.name, values)
