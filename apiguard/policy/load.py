"""The only place that reads policy rows for requests.

Always from the database that policy is written to: a replica may lag, and a
lagging revision beside fresh rows would be served for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, FieldError, ValidationError
from django.db import connections, router
from django.db.migrations.recorder import MigrationRecorder

from ..models import ApiKey, JwtIssuer, PolicyState
from ..models.state import write_alias
from .records import KeyRecord, key_record
from .rows import MODELS, Rows

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

# How often rows are read again because the revision moved meanwhile.
ATTEMPTS = 10


class PolicyMoved(Exception):
    """The rows of one revision cannot be read: it moves too fast, or is gone."""


def state() -> PolicyState:
    """The state row; a new, empty one where nothing was ever published. One query."""
    found = PolicyState.objects.using(write_alias()).filter(pk=1).first()
    return found or PolicyState()


def tables_exist() -> bool:
    """Whether apiguard's tables can be seen."""
    connection = connections[write_alias()]
    with connection.cursor() as cursor:
        return PolicyState._meta.db_table in connection.introspection.table_names(cursor)


def was_migrated() -> bool:
    """Whether ``migrate`` has ever made apiguard's tables, be they there now or not."""
    if tables_exist():
        return True
    connection = connections[write_alias()]
    return any(app == "apiguard" for app, _ in MigrationRecorder(connection).applied_migrations())


def rows(seen: PolicyState) -> tuple[PolicyState, Rows]:
    """All policy rows as they stand under one revision.

    Args:
        seen: the state that was read just before.

    Raises:
        PolicyMoved: the revision moved during every attempt.
        django.db.Error: the database cannot be read.
    """
    for _ in range(ATTEMPTS):
        read = _all_rows()
        after = state()
        if (after.revision, after.stamp) == (seen.revision, seen.stamp):
            return after, read
        seen = after
    raise PolicyMoved


def _all_rows() -> Rows:
    def all_of(model: Any) -> tuple[Any, ...]:
        return tuple(model._base_manager.using(write_alias()).order_by("pk"))

    return Rows(**{member: all_of(model) for member, model in MODELS.items()})


def key(key_id: str) -> KeyRecord | None:
    """The record of a key with its client, in one query; ``None`` if there is none."""
    found = (
        ApiKey._base_manager.using(write_alias())
        .select_related("client")
        .filter(key_id=key_id)
        .first()
    )
    return None if found is None else key_record(found)


def issuer(pk: Any) -> JwtIssuer | None:
    """The row of an issuer as it is now, with the copy of its keys; one query."""
    found: JwtIssuer | None = JwtIssuer._base_manager.using(write_alias()).filter(pk=pk).first()
    return found


def user_alias() -> str:
    """The database that users are written to: whoever was made inactive a moment ago, is."""
    return router.db_for_write(get_user_model())


def user(field: str, value: object) -> AbstractBaseUser | None:
    """The one active user whose ``field`` is, letter for letter, ``value``; one query.

    Databases and ``int()`` compare more kindly: " 2", "+2" and "02" all find 2.
    """
    model = get_user_model()
    try:
        column = model._meta.pk if field == "pk" else model._meta.get_field(field)
        found = list(model._default_manager.using(user_alias()).filter(**{field: value})[:2])
    except (FieldDoesNotExist, FieldError, ValueError, TypeError, ValidationError):
        return None  # A subject that cannot be a value of that field names nobody.
    if len(found) != 1 or not column.concrete:
        return None
    same = str(getattr(found[0], column.attname)) == str(value)
    return found[0] if same and found[0].is_active else None
