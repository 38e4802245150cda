"""What every policy row has in common: writing it publishes it.

``save``, ``delete`` and the writing methods of querysets open a transaction,
take the next revision first (see ``state.publish``), then write, then append
to the history. Raw fixtures and cascades do not pass here; ``receivers``
catches those. Raw SQL passes nowhere: ``manage.py apiguard publish``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.utils.translation import gettext_lazy as _

from ..errors import PolicyError
from .audit import PolicyChange, record
from .fields import type_problems
from .state import NAMED, Change, What, publish

M = TypeVar("M", bound="PolicyModel")

Action = PolicyChange.Action


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

    def _named(self) -> list[Any] | None:
        """The rows that match; asked under the lock, so that none is added meanwhile."""
        if self.model.publishes == "policy":
            return None
        # One more than can be named, so that "too many" shows.
        return list(self.order_by().values_list("pk", flat=True)[: NAMED + 1])

    def update(self, **kwargs: Any) -> int:
        values = {name: str(value) for name, value in kwargs.items()}
        with self._publishing_many(Action.CHANGED, self._named, values):
            return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        with self._publishing_many(Action.DELETED, self._named):
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        # New rows have no records to forget; an upsert may touch any row.
        upsert = kwargs.get("update_conflicts") or any(args[2:3])
        with self._publishing_many(Action.CREATED, lambda: None if upsert else []):
            return super().bulk_create(objs, *args, **kwargs)

    def bulk_update(
        self, objs: Iterable[M], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        rows = tuple(objs)
        with self._publishing_many(Action.CHANGED, lambda: [row.pk for row in rows]):
            # A plain queryset: ours would publish every batch once more.
            plain: models.QuerySet[M] = models.QuerySet(self.model, using=self.db)
            return plain.bulk_update(rows, fields, batch_size=batch_size)

    def update_or_create(self, *args: Any, **kwargs: Any) -> tuple[M, bool]:
        # Locks the row before it saves it; whoever saves takes these locks the other way round.
        with publishing(self.model.change_of(()), self.db):
            return super().update_or_create(*args, **kwargs)

    @contextmanager
    def _publishing_many(
        self,
        action: str,
        pks: Callable[[], Sequence[Any] | None],
        values: dict[str, Any] | None = None,
    ) -> Iterator[None]:
        with publishing(lambda: self.model.change_of(pks()), self.db) as revision:
            yield
            record(
                revision,
                action,
                using=self.db,
                model=self.model._meta.label_lower,
                name="several rows",
                after=self.model.audited(values) if values else None,
            )


# mypy cannot follow from_queryset with a type variable of our own.
PolicyManager = models.Manager.from_queryset(PolicyQuerySet)


class PolicyModel(models.Model):
    """A row of policy.

    Class attributes:
        publishes: which part of the policy in force a write touches.
        unaudited: fields that the history must never repeat.
    """

    publishes: ClassVar[What] = "policy"
    unaudited: ClassVar[frozenset[str]] = frozenset()

    objects = PolicyManager()

    class Meta:
        abstract = True
        # Related managers write through the base manager: policy.origins.add(origin).
        base_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with publishing(self.change_of([self.pk] if self.pk else []), using) as revision:
            before = self._stored(using) if self.pk else None
            if before is not None:
                self.check_change(before)
            super().save(*args, **kwargs)
            self._record(revision, using, before, kwargs.get("update_fields"))

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        with publishing(self.change_of([self.pk]), using) as revision:
            pk, name, before = self.pk, str(self), self.audited(self._values())
            deleted = super().delete(*args, **kwargs)
            record(
                revision,
                Action.DELETED,
                using=using,
                model=self._meta.label_lower,
                pk=pk,
                name=name,
                before=before,
            )
        return deleted

    @classmethod
    def change_of(cls, pks: Sequence[Any] | None) -> Change:
        """What workers must know when the rows ``pks`` of this model change."""
        return Change.of(cls.publishes, pks)

    def problems(self) -> list[PolicyError]:
        """Everything that is wrong with this row taken by itself; never raises."""
        return type_problems(self) or self.rule_problems()

    def rule_problems(self) -> list[PolicyError]:
        """What ``rules/`` say of this row, whose values are of their fields' types."""
        return []

    def check_change(self, before: Self) -> None:
        """Refuse to overwrite the stored row ``before``; called under the lock.

        Raises:
            ValidationError: the row must not be changed in this way.
        """

    def clean(self) -> None:
        super().clean()
        # What is not of its field's type has been said by the field itself.
        if not type_problems(self):
            raise_problems(self, self.rule_problems())

    def _stored(self, using: str) -> Self | None:
        return type(self)._base_manager.using(using).filter(pk=self.pk).first()

    def _values(self) -> dict[str, Any]:
        values = {}
        for field in self._meta.concrete_fields:
            value = getattr(self, field.attname)
            # What an expression comes to, only the database knows.
            values[field.attname] = str(value) if hasattr(value, "resolve_expression") else value
        return values

    @classmethod
    def audited(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name not in cls.unaudited}

    def _record(
        self, revision: int, using: str, before: Self | None, saved: Iterable[str] | None
    ) -> None:
        new = self.audited(self._values())
        if saved is not None:
            names = {name for field in self._meta.concrete_fields for name in _names(field, saved)}
            new = {name: value for name, value in new.items() if name in names}
        old = before.audited(before._values()) if before is not None else {}
        differing = {name for name in new if before is None or old[name] != new[name]}
        record(
            revision,
            Action.CREATED if before is None else Action.CHANGED,
            using=using,
            model=self._meta.label_lower,
            pk=self.pk,
            name=str(self),
            before=None if before is None else {name: old[name] for name in sorted(differing)},
            after={name: new[name] for name in sorted(differing)},
        )


def _names(field: models.Field[Any, Any], saved: Iterable[str]) -> list[str]:
    return [field.attname] if {field.name, field.attname} & set(saved) else []


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
