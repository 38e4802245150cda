"""What every policy row has in common: writing it publishes it.

``save``, ``delete`` and the writing methods of querysets open a transaction,
take the next revision first (see ``state.publish``), then write, then append
to the history. Raw fixtures and cascades do not pass here; ``receivers``
catches those. Raw SQL passes nowhere: ``manage.py apiguard publish``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self, TypeVar

from django.core.exceptions import ValidationError
from django.db import connections, models, router, transaction
from django.utils.translation import gettext_lazy as _

from ..errors import PolicyError
from .audit import record_entries
from .fields import moment_problems, type_problems
from .row_changes import StoredRow, compare_row, compare_rows, read_rows, stored_row
from .state import NAMED, Change, What, one_revision, publish

M = TypeVar("M", bound="PolicyModel")


@contextmanager
def publishing(change: Change | Callable[[], Change], using: str) -> Iterator[int]:
    """A transaction whose first statement takes the next revision."""
    with transaction.atomic(using=using):
        yield publish(change, using)


class PolicyQuerySet(models.QuerySet[M]):
    """A queryset whose writes are published, and which reads where policy is written.

    A form, a unique check or an import compares with what is stored: a replica may
    lag, and knows nothing of the open transaction.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Django has no public way that keeps the router's hints, with which a related
        # manager's queryset begins; every write of Django itself sets this attribute.
        self._for_write = True

    def update(self, **kwargs: Any) -> int:
        with publishing(lambda: self.model.change_by_update(self, kwargs), self.db) as revision:
            # Under another primary key it is another row: only all rows show which.
            moved = _names_of(self.model, "pk") & kwargs.keys()
            pks = None if moved else list(self.order_by().values_list("pk", flat=True))
            with self._recorded(revision, pks):
                return super().update(**kwargs | self.model.revision_columns(revision))

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        # The receiver of each row's deletion records it.
        with one_revision(), publishing(lambda: self.model.change_by_delete(self), self.db):
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: Iterable[M],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[M]:
        rows = list(objs)
        change = self.model.change_by_insert(rows, is_upsert=update_conflicts)
        with publishing(change, self.db) as revision:
            columns = self.model.revision_columns(revision)
            _set_all(rows, columns)
            # Which row a conflict was about, only all rows show.
            before = read_rows(self.model, self.db) if update_conflicts else {}
            returns_keys = connections[self.db].features.can_return_rows_from_bulk_insert
            known = None if returns_keys and not ignore_conflicts else self._all_pks()
            created = super().bulk_create(
                rows,
                batch_size=batch_size,
                ignore_conflicts=ignore_conflicts,
                update_conflicts=update_conflicts,
                update_fields=[*update_fields, *columns] if update_fields else update_fields,
                unique_fields=unique_fields,
            )
            if update_conflicts:
                after = read_rows(self.model, self.db)
            else:
                new = [row.pk for row in rows] if known is None else self._all_pks() - known
                after = read_rows(self.model, self.db, new)
            record_entries(revision, compare_rows(self.model, before, after, self.db), self.db)
            return created

    def bulk_update(
        self, objs: Iterable[M], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        rows, names = tuple(objs), list(fields)
        # A plain queryset: ours would publish every batch once more.
        plain: models.QuerySet[M] = models.QuerySet(self.model, using=self.db)
        # Of very many all are named, so that none is left out.
        matched = plain.filter(pk__in=[row.pk for row in rows]) if len(rows) <= NAMED else plain
        with publishing(lambda: self.model.change_by_update(matched, names), self.db) as revision:
            columns = self.model.revision_columns(revision)
            _set_all(rows, columns)
            with self._recorded(revision, [row.pk for row in rows]):
                return plain.bulk_update(rows, [*names, *columns], batch_size=batch_size)

    def update_or_create(self, *args: Any, **kwargs: Any) -> tuple[M, bool]:
        # Locks the row before it saves it; ``save`` takes these locks the other way round.
        with publishing(self.model.change_by_insert(()), self.db):
            return super().update_or_create(*args, **kwargs)

    def _all_pks(self) -> set[Any]:
        rows: Any = self.model._base_manager.using(self.db)
        return set(rows.values_list("pk", flat=True))

    @contextmanager
    def _recorded(self, revision: int, pks: list[Any] | None) -> Iterator[None]:
        """Record what the block does to the rows with these keys, or to all rows."""
        before = read_rows(self.model, self.db, pks)
        yield
        after = read_rows(self.model, self.db, pks)
        record_entries(revision, compare_rows(self.model, before, after, self.db), self.db)


def _set_all(rows: Iterable[models.Model], values: dict[str, Any]) -> None:
    for row in rows:
        for name, value in values.items():
            setattr(row, name, value)


# mypy cannot follow from_queryset with a type variable of our own.
PolicyManager = models.Manager.from_queryset(PolicyQuerySet)


class PolicyModel(models.Model):
    """A row of policy.

    Class attributes:
        publishes: which part of the policy in force a write touches.
        named_by: the column that names what workers must forget when a row changes.
        unaudited: fields that the history must never repeat.
    """

    publishes: ClassVar[What] = "policy"
    named_by: ClassVar[str] = "pk"
    unaudited: ClassVar[frozenset[str]] = frozenset()

    objects = PolicyManager()

    class Meta:
        abstract = True
        # Related managers write through the base manager: policy.origins.add(origin).
        base_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        kwargs |= zip(
            ("force_insert", "force_update", "using", "update_fields"), args, strict=False
        )
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        before: Any = None  # A copy of this row as it is stored.

        def change() -> Change:
            nonlocal before
            before = self._stored(using) if self.pk else None
            return self.change_by_save(before)

        with publishing(change, using) as revision:
            if before is not None:
                self.check_change(before)
            saved = kwargs.get("update_fields")
            columns = self.revision_columns(revision)
            _set_all([self], columns)
            super().save(**kwargs | ({"update_fields": [*saved, *columns]} if saved else {}))
            self.record_save(revision, using, None if before is None else stored_row(before))

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        stored = type(self)._base_manager.using(using).filter(pk=self.pk)
        # The receiver of each row's deletion records it.
        with one_revision(), publishing(lambda: self.change_by_delete(stored, self), using):
            return super().delete(*args, **kwargs)

    def free_value(self, name: str, using: str) -> None:
        """Store a made-up text in a unique column, so that another row can have its value.

        Two rows that swap values need it. The caller's transaction sets the column again, or
        deletes the row, under the same revision.
        """
        setattr(self, name, f"moving-{secrets.token_hex(8)}")
        self.save(using=using, update_fields=[name])

    def record_save(self, revision: int, using: str, before: StoredRow | None) -> None:
        """Record that this row, which was stored as ``before``, is saved."""
        after = self._stored(using)
        new = None if after is None else stored_row(after)
        entries = compare_row(type(self), self.pk, before, new, using)
        record_entries(revision, entries, using)

    def record_deletion(self, revision: int, using: str, *, is_fresh: bool) -> None:
        """Record that this row is about to be deleted.

        Args:
            is_fresh: whether this object was just read, so that it is as the row is.
        """
        row = self if is_fresh else self._stored(using)
        if row is not None:
            entries = compare_row(type(self), self.pk, stored_row(row), None, using)
            record_entries(revision, entries, using)

    # -- what workers must know of a write; called when the lock is held ---------------

    def change_by_save(self, before: Self | None) -> Change:
        """Return what changes with this row, which is stored as ``before``."""
        rows = [self] if before is None else [before, self]
        named = dict.fromkeys(getattr(row, self.named_by) for row in rows)
        return Change.of(self.publishes, [name for name in named if name is not None])

    @classmethod
    def change_by_update(cls, rows: models.QuerySet[Any], names: Collection[str]) -> Change:
        """Return what changes when these columns of all ``rows`` are written."""
        moved = _names_of(cls, "pk", cls.named_by) & set(names)
        return Change.of(cls.publishes, None if moved else cls._named(rows))

    @classmethod
    def change_by_insert(cls, rows: Iterable[Self], *, is_upsert: bool = False) -> Change:
        """Return what changes with new rows; an upsert may touch any row."""
        # Keys and clients that are new have no records to forget.
        named = [] if cls.named_by == "pk" else [getattr(row, cls.named_by) for row in rows]
        return Change.of(cls.publishes, None if is_upsert else dict.fromkeys(named))

    @classmethod
    def change_by_delete(cls, rows: models.QuerySet[Any], row: Self | None = None) -> Change:
        """Return what changes when all ``rows`` (only this ``row``, if given) are deleted."""
        named = [row.pk] if row is not None and cls.named_by == "pk" else cls._named(rows)
        return Change.of(cls.publishes, named)

    @classmethod
    def revision_columns(cls, revision: int) -> dict[str, int]:
        """Return the columns that mark a row as written by this revision."""
        return {}

    @classmethod
    def _named(cls, rows: models.QuerySet[Any]) -> list[Any]:
        named = rows.order_by().values_list(cls.named_by, flat=True)
        if cls.named_by != "pk":
            named = named.distinct()
        # One more than can be named, so that "too many" shows.
        return list(named[: NAMED + 1])

    def problems(self) -> list[PolicyError]:
        """Return everything that is wrong with this row taken by itself; never raises."""
        return type_problems(self) or self.rule_problems()

    def rule_problems(self) -> list[PolicyError]:
        """Return what ``rules/`` say of this row, whose values are of their fields' types."""
        return []

    def check_change(self, before: Self) -> None:
        """Refuse to overwrite the stored row ``before``; called under the lock.

        Raises:
            ValidationError: the row must not be changed in this way.
        """

    def clean(self) -> None:
        super().clean()
        # The field itself reports a value of a wrong type.
        if not type_problems(self):
            raise_problems(self, [*self.rule_problems(), *moment_problems(self)])

    def _stored(self, using: str) -> Self | None:
        """Return this row as the database has it."""
        return type(self)._base_manager.using(using).filter(pk=self.pk).first()


class CompiledModel(PolicyModel):
    """A row that is compiled into the policy in force.

    Attributes:
        revision: the one that wrote the row last, so that workers read it anew
            and no other. Fixtures do not carry it: it is this database's own.
    """

    revision = models.BigIntegerField(
        default=0, db_default=0, db_index=True, editable=False, serialize=False
    )

    class Meta(PolicyModel.Meta):
        abstract = True

    def change_by_save(self, before: Self | None) -> Change:
        # What is written carries the revision; only rows that are gone have to be named.
        return self.change_by_insert(())

    @classmethod
    def change_by_update(cls, rows: models.QuerySet[Any], names: Collection[str]) -> Change:
        # Under another primary key it is another row, and the old one is gone.
        moved = _names_of(cls, "pk") & set(names)
        return Change(cls.publishes) if moved else cls.change_by_insert(())

    @classmethod
    def change_by_insert(cls, rows: Iterable[Self], *, is_upsert: bool = False) -> Change:
        return Change(cls._meta.model_name or "", ())

    @classmethod
    def change_by_delete(cls, rows: models.QuerySet[Any], row: Self | None = None) -> Change:
        named = super().change_by_delete(rows, row)
        return Change(cls._meta.model_name or "", named.pks)

    @classmethod
    def revision_columns(cls, revision: int) -> dict[str, int]:
        return {"revision": revision}


def _names_of(model: type[models.Model], *columns: str) -> set[str]:
    """Return every name by which these columns can be written."""
    pk = model._meta.pk.attname
    wanted = {pk if column == "pk" else column for column in columns}
    fields = [field for field in model._meta.concrete_fields if field.attname in wanted]
    return {"pk"} | {name for field in fields for name in (field.name, field.attname)}


def raise_problems(instance: models.Model, problems: Iterable[PolicyError]) -> None:
    """Turn policy errors into the ``ValidationError`` that forms show at their fields."""
    by_field: dict[str, list[ValidationError]] = {}
    names = {field.name for field in instance._meta.get_fields()}
    for problem in problems:
        field = problem.field if problem.field in names else "__all__"
        message = _("%(reason)s %(hint)s") if problem.hint else _("%(reason)s")
        params = {"reason": problem.reason, "hint": problem.hint, "value": problem.value}
        by_field.setdefault(field, []).append(ValidationError(message, problem.code, params))
    if by_field:
        raise ValidationError(by_field)
