"""Values with which the query of an address fills in the form of a new row.

Django hands them to the widgets as they are; those of dates and of rows fail on others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.utils import timezone


def shown_values(options: Any, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values that the widgets can show; others, such as "yesterday", are left out.

    Args:
        options: the ``_meta`` of the row's model.
    """
    for name, value in given.items():
        try:
            yield name, _shown(options.get_field(name), value)
        except FieldDoesNotExist:
            yield name, value
        except (ValidationError, ValueError, OverflowError):
            continue


def _shown(field: Any, value: Any) -> Any:
    if isinstance(field, models.ForeignKey):
        field.to_python(value)  # A number, or it raises.
    if not isinstance(field, models.DateTimeField):
        return value
    at = field.to_python(value)
    # The year 9999 has moments that no other time zone has.
    return timezone.localtime(at) if at is not None and timezone.is_aware(at) else at
