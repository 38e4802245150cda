"""The form of a policy row: it refuses errors that this edit adds, not older ones.

A person who switches a route off at night must not have to correct its methods
first. Errors of the stored row are accepted at any field; the overview goes on
showing them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, datetime
from typing import Any, ClassVar

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils import timezone

from ..models import PolicyModel
from ..telemetry.formatting import local_time
from .edit_merge import MergeForm


class PolicyForm(MergeForm):
    """Base class of the forms of policy rows.

    Class attributes:
        shown_as: columns that the form does not have -> the field that stands for them.
    """

    shown_as: ClassVar[Mapping[str, str]] = {}

    def get_initial_for_field(self, field: Any, field_name: str) -> Any:
        value = super().get_initial_for_field(field, field_name)
        # Django's widgets fail on what ``local_time`` cannot convert; a naive time they show.
        is_aware = isinstance(value, datetime) and timezone.is_aware(value)
        return local_time(value).replace(tzinfo=None) if is_aware and _is_extreme(value) else value

    def add_error(self, field: str | None, error: Any) -> None:
        """Add what validation found, but for errors of the row that is stored already."""
        # Django adds what validating the row found as one mapping, under no field.
        if field is None and hasattr(error, "error_dict"):
            error = ValidationError(self._added(error.error_dict))
            if not error.error_dict:
                return
        super().add_error(field, error)

    def _added(self, errors: Mapping[str, list[ValidationError]]) -> dict[str, Any]:
        """Return the errors that the stored row does not have, by field of this form."""
        stored = _errors_of_stored(self.instance)
        added: dict[str, Any] = {}
        for column, found in errors.items():
            name = self.shown_as.get(column, column)
            place = name if name in self.fields else NON_FIELD_ERRORS
            for error in found:
                value = (error.params or {}).get("value")
                if (error.code, repr(value)) not in stored:
                    text = with_value(value, error.messages[0])
                    added.setdefault(place, []).append(ValidationError(text, error.code))
        return added


def _is_extreme(at: datetime) -> bool:
    return not MINYEAR < at.year < MAXYEAR


def with_value(value: object, text: str) -> str:
    """Return ``text`` with ``value`` in front, because a field may hold many values."""
    shown = "" if value is None else str(value)[:200]
    return f"{shown}: {text}" if shown and not text.startswith((shown, repr(shown))) else text


def _errors_of_stored(row: PolicyModel) -> set[tuple[str, str]]:
    """Return code and value of each problem of ``row`` as stored in the database."""
    if row.pk is None:
        return set()
    stored = type(row)._base_manager.filter(pk=row.pk).first()
    problems = [] if stored is None else stored.problems()
    return {(problem.code, repr(problem.value)) for problem in problems}
