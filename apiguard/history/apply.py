"""Takes changes back as one new revision, or tries to and rolls it back.

Which step depends on which is not reckoned: a step that the rows do not permit yet is
tried again after the others, until all are done or none gets on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, router, transaction
from django.db.models.deletion import Collector, ProtectedError

from ..models import PolicyModel
from ..models.state import PolicyState, one_revision
from .undo import Step, Undo

REFUSED = (IntegrityError, ProtectedError, ValidationError)


class UndoRefused(Exception):
    """Something stands in the way; ``obstacles`` are sentences."""

    def __init__(self, obstacles: Sequence[str]) -> None:
        super().__init__(" ".join(obstacles))
        self.obstacles = tuple(obstacles)


class _NotYet(Exception):
    """A step that the rows do not permit as they are; the message says why."""


@contextmanager
def locked(using: str) -> Iterator[None]:
    """A transaction that no other change of policy comes between."""
    with transaction.atomic(using=using):
        PolicyState.objects.using(using).select_for_update().filter(pk=1).first()
        yield


def apply_undo(undo: Undo, using: str, reason: str) -> None:
    """Do all steps, inside ``locked()``, under one revision.

    Raises:
        UndoRefused: something stands in the way; the caller's transaction rolls back.
    """
    if undo.obstacles:
        raise UndoRefused(undo.obstacles)
    with transaction.atomic(using=using), one_revision():
        left = list(undo.steps)
        while left:
            failed: list[tuple[Step, str]] = []
            for step in left:
                problem = _try_step(step, undo, using, reason)
                if problem:
                    failed.append((step, problem))
            if len(failed) == len(left) and not _free_values(left, using):
                raise UndoRefused(list(dict.fromkeys(problem for _, problem in failed)))
            left = [step for step, _ in failed]


def _try_step(step: Step, undo: Undo, using: str, reason: str) -> str:
    """Do one step; return why it cannot be done, or an empty text."""
    try:
        with transaction.atomic(using=using):
            _do_step(step, undo, using, reason)
    except _NotYet as problem:
        return str(problem)
    except ProtectedError as error:
        return f"{_named(step)} is used by {_listed(error.protected_objects)}."
    except REFUSED as error:
        return f"{_named(step)} cannot be put back: {error}."
    return ""


def _do_step(step: Step, undo: Undo, using: str, reason: str) -> None:
    rows = step.model._base_manager.using(using)
    if step.kind == "create":
        values = _values(step, using)
        step.model(**values).save(using=using, force_insert=True)
        return
    row: Any = rows.filter(pk=step.pk).first()
    if row is None:
        return  # It went with another one.
    if step.kind == "delete":
        _check_cascade(step, undo, row, using)
        row.delete(using=using)
    elif step.kind == "revoke":
        row.revoke(reason or "undone")
    else:
        values = _values(step, using)
        for column, value in values.items():
            setattr(row, column, value)
        row.save(using=using, update_fields=list(values))


def _values(step: Step, using: str) -> dict[str, Any]:
    """Return the values of a step by column, after the rows that they refer to were found.

    Raises:
        _NotYet: one of these is missing, or another row has a unique value.
    """
    values: dict[str, Any] = {}
    for column, value in (step.entry.after or {}).items():
        field = step.model._meta.get_field(column)
        values[column] = value if value is None else _decoded(field, value)
        if field.is_relation and value is not None:
            _check_target(step, field, value)
    _check_unique(step, values, using)
    return values


def _decoded(field: Any, value: Any) -> Any:
    return value if isinstance(field, models.JSONField) else field.to_python(value)


def _check_target(step: Step, field: Any, value: Any) -> None:
    target = field.related_model
    if not target._base_manager.using(router.db_for_write(target)).filter(pk=value).exists():
        called = step.entry.names.get(field.attname, {}).get(str(value), value)
        text = f"refers to the {field.verbose_name} “{called}”, which is gone"
        raise _NotYet(f"{_named(step)} {text}.")


def _check_unique(step: Step, values: dict[str, Any], using: str) -> None:
    for column, wanted, other in _conflicts(step, values, using):
        meta: Any = step.model._meta
        label = meta.get_field(column).verbose_name
        text = f"the {label} “{wanted}” was taken since by “{other}”"
        raise _NotYet(f"{_named(step)} cannot be put back: {text}.")
    if step.kind == "create" and step.model._base_manager.using(using).filter(pk=step.pk).exists():
        raise _NotYet(f"{_named(step)} cannot be put back: another row has its primary key.")


def _free_values(left: Sequence[Step], using: str) -> bool:
    """Take texts that steps want from rows that get others; return whether there were any.

    Rows that exchanged their names wait for each other otherwise.
    """
    changing = {(step.model, step.pk): step for step in left if step.kind == "change"}
    is_any = False
    for step in left:
        for column, _, other in _conflicts(step, dict(step.entry.after or {}), using):
            blocking = changing.get((step.model, other.pk))
            is_text = isinstance(step.model._meta.get_field(column), models.CharField)
            if blocking is not None and is_text and column in (blocking.entry.after or {}):
                other.free_value(column, using)
                is_any = True
    return is_any


def _conflicts(
    step: Step, values: dict[str, Any], using: str
) -> Iterator[tuple[str, Any, PolicyModel]]:
    """Yield the unique columns of a step, the value that it wants, and the row that has it."""
    meta: Any = step.model._meta
    rows = step.model._base_manager.using(using)
    found: Any = rows.filter(pk=step.pk).values()
    whole = {**next(iter(found), {}), **values}
    groups: list[tuple[str, ...]] = [
        (one.attname,) for one in meta.concrete_fields if one.unique and not one.primary_key
    ]
    groups += [
        tuple(meta.get_field(name).attname for name in constraint.fields)
        for constraint in meta.constraints
        if isinstance(constraint, models.UniqueConstraint) and constraint.fields
    ]
    for columns in groups:
        wanted = {column: whole.get(column) for column in columns}
        if set(columns).isdisjoint(values) or None in wanted.values():
            continue
        other = rows.filter(**wanted).exclude(pk=step.pk).first()
        if other is not None:
            yield columns[-1], wanted[columns[-1]], other


def _check_cascade(step: Step, undo: Undo, row: PolicyModel, using: str) -> None:
    """Refuse to delete what was added to a row since.

    Raises:
        _NotYet: the deletion would take rows with it that are not taken back.
    """
    collector = Collector(using=using)
    collector.collect([row])
    own = {(one.model, one.pk) for one in undo.steps if one.kind == "delete"}
    others = [
        f"{one._meta.verbose_name} “{one}”"
        for found in collector.data.values()
        for one in found
        if isinstance(one, PolicyModel) and (type(one), one.pk) not in own
    ]
    if others:
        raise _NotYet(f"{_named(step)} has rows that were added later: {', '.join(others[:5])}.")


def _named(step: Step) -> str:
    return f"The {step.model._meta.verbose_name} “{step.entry.name}”"


def _listed(rows: Any) -> str:
    names = sorted(f"{row._meta.verbose_name} “{row}”" for row in rows)
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
