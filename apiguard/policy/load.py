"""The only place that reads policy rows for requests.

Always from the database that policy is written to: a replica may lag, and a
lagging revision beside fresh rows would be served for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, FieldError, ValidationError
from django.db import connections, router
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import F

from ..models import (
    AllowedOrigin,
    ApiKey,
    Client,
    CompiledModel,
    JwtIssuer,
    LimitOverride,
    PolicyState,
)
from ..models.state import write_alias
from .pacing import paced
from .records import KeyRecord, key_record, keyless_record
from .rows import MODELS, OriginRow, Rows

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser

# How often rows are read again because the revision moved meanwhile.
ATTEMPTS = 10
# Rows of one query.
CHUNK = 1000
# Keys of one query; databases bound how many values it may hold.
KEYS_AT_ONCE = 500


class PolicyMoved(Exception):
    """The rows of one revision cannot be read: it moves too fast, or is gone."""


def state() -> PolicyState:
    """Return the state row; a new, empty one where nothing was ever published. One query."""
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
    """Return all policy rows as they stand under one revision.

    Args:
        seen: the state that was read just before.

    Raises:
        PolicyMoved: the revision moved during every attempt.
        django.db.Error: the database cannot be read.
    """
    return _under_one_revision(seen, lambda _: _all_rows())


def differences(
    seen: PolicyState, revision: int, members_of: Callable[[PolicyState], Container[str]]
) -> tuple[PolicyState, Rows]:
    """Return the rows that were written after ``revision``, as they stand under one revision.

    Args:
        seen: the state that was read just before.
        revision: the one whose rows are held.
        members_of: the members of ``Rows`` that differ between it and a state.

    Raises: as ``rows``.
    """
    return _under_one_revision(seen, lambda now: _all_rows(members_of(now), revision))


def _under_one_revision(
    seen: PolicyState, read: Callable[[PolicyState], Rows]
) -> tuple[PolicyState, Rows]:
    for _ in range(ATTEMPTS):
        found = read(seen)
        after = state()
        if (after.revision, after.stamp) == (seen.revision, seen.stamp):
            return after, found
        seen = after
    raise PolicyMoved


def _all_rows(members: Container[str] = MODELS, after: int | None = None) -> Rows:
    """Return the rows of these members; only those written ``after`` a revision, if it is given."""
    return Rows(
        **{
            member: tuple(paced(_rows_of(model, after)))
            for member, model in MODELS.items()
            if member in members
        }
    )


def _rows_of(model: type[CompiledModel], after: int | None) -> Iterator[Any]:
    """In the order of primary keys, a chunk at a time, so that no step takes long."""
    rows: Any = model._base_manager.using(write_alias()).order_by("pk")
    if after is not None:
        rows = rows.filter(revision__gt=after)
    if model is AllowedOrigin:
        rows = rows.values_list(*OriginRow._fields)
    last: list[Any] = []
    while True:
        chunk = list(rows.filter(pk__gt=last[-1])[:CHUNK] if last else rows[:CHUNK])
        if model is AllowedOrigin:
            chunk = [OriginRow(*values) for values in chunk]
        yield from chunk
        if len(chunk) < CHUNK:
            return
        last = [chunk[-1].pk]


# Columns of a client's overrides, by the names that a key's row has them under.
_OVERRIDE = {
    f"override_{field.attname}": field.attname for field in LimitOverride._meta.concrete_fields
}

_OVERRIDE_PK = f"override_{LimitOverride._meta.pk.attname}"


def key(key_id: str) -> KeyRecord | None:
    """The record of a key with its client and overrides; ``None`` if there is none. One query."""
    return next(_key_records([key_id]), None)


def client_keys(slug: str) -> list[KeyRecord]:
    """Return the records of a client's keys, those used last first; two queries.

    Of a client without a key, one record without a primary key and without scopes.
    """
    rows = ApiKey._base_manager.using(write_alias()).filter(client__slug=slug)
    used_last = F("last_used_at").desc(nulls_last=True)
    ids = list(rows.order_by(used_last, "-pk").values_list("key_id", flat=True)[:KEYS_AT_ONCE])
    if ids:
        return sorted(keys(ids), key=lambda record: ids.index(record.key_id))
    clients = Client._base_manager.using(write_alias()).prefetch_related("overrides")
    found = clients.filter(slug=slug).first()
    return [] if found is None else [keyless_record(found, found.overrides.all())]


def keys(key_ids: Sequence[str]) -> Iterator[KeyRecord]:
    """Yield the records of those of these keys that there are, a few hundred in one query."""
    for start in range(0, len(key_ids), KEYS_AT_ONCE):
        yield from paced(_key_records(key_ids[start : start + KEYS_AT_ONCE]))


def _key_records(key_ids: Sequence[str]) -> Iterator[KeyRecord]:
    joined = {name: F(f"client__overrides__{column}") for name, column in _OVERRIDE.items()}
    # A key once for each override of its client; once without any, too.
    found = (
        ApiKey._base_manager.using(write_alias())
        .select_related("client")
        .annotate(**joined)
        .filter(key_id__in=key_ids)
        .order_by("pk", "client__overrides__pk")
    )
    for _pk, group in groupby(found, key=lambda row: row.pk):
        rows = list(group)
        overrides = [_override(row) for row in rows if getattr(row, _OVERRIDE_PK) is not None]
        yield key_record(rows[0], overrides)


def _override(row: Any) -> LimitOverride:
    return LimitOverride(**{column: getattr(row, name) for name, column in _OVERRIDE.items()})


def issuer(pk: Any) -> JwtIssuer | None:
    """Return the row of an issuer as it is now, with the copy of its keys; one query."""
    found: JwtIssuer | None = JwtIssuer._base_manager.using(write_alias()).filter(pk=pk).first()
    return found


def user_alias() -> str:
    """Return the database that users are written to, which shows at once who was made inactive."""
    return router.db_for_write(get_user_model())


def user(field: str, value: object) -> AbstractBaseUser | None:
    """Return the one active user whose ``field`` is, letter for letter, ``value``; one query.

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
