"""What would take recorded changes back: a difference for each row, and what stands in the way.

A value is put back only where it is still the one that the changes left. A row that
was deleted comes back under its own primary key, because counts, overrides and
principals refer to it; what was deleted with it comes back too. A client is disabled
and a key revoked instead of deleted. A revoked key stays revoked, and no secret is in
the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from django.apps import apps

from ..models import (
    ApiKey,
    BlockedNetwork,
    Client,
    JwtIssuer,
    LimitOverride,
    PolicyChange,
    PolicyModel,
)
from ..models.audit import Entry
from ..models.row_changes import StoredRow, read_rows, with_names
from ..policy.callers import read_caller_records
from ..policy.consequences import CallerRecords

Kind = Literal["create", "change", "delete", "disable", "revoke"]
MOST_NAMED = 3
STAY: tuple[type[PolicyModel], ...] = (ApiKey, BlockedNetwork)
# Rows that are not part of a compiled policy, and change what somebody may do.
CALLERS: tuple[type[PolicyModel], ...] = (Client, LimitOverride, ApiKey)


@dataclass(frozen=True, slots=True)
class Step:
    """What is done to one row; ``entry`` is the difference, from now to afterwards."""

    kind: Kind
    model: type[PolicyModel]
    pk: Any
    entry: Entry


@dataclass(slots=True)
class Undo:
    """Steps that take changes back.

    Attributes:
        changes: those that are taken back, the oldest first.
        obstacles: sentences on what stands in the way; with one, nothing is done.
        notes: sentences on what stays as it is.
    """

    changes: Sequence[PolicyChange]
    steps: list[Step] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def callers(self, using: str) -> CallerRecords:
        """Read the clients and keys that the steps are about, as they are now."""
        own = {model: [step for step in self.steps if step.model is model] for model in CALLERS}
        stored = LimitOverride._base_manager.using(using).filter(
            pk__in=[step.pk for step in own[LimitOverride]]
        )
        clients = {step.pk for step in own[Client]}
        clients |= set(stored.values_list("client_id", flat=True))
        clients |= {(step.entry.after or {}).get("client_id") for step in own[LimitOverride]}
        return read_caller_records(clients - {None}, [step.pk for step in own[ApiKey]])


# -- which changes ----------------------------------------------------------------


def of_revision(revision: int, using: str) -> list[PolicyChange]:
    """Return the changes of one revision."""
    return _of_rows(PolicyChange.objects.using(using).filter(revision=revision))


def since_revision(revision: int, using: str) -> list[PolicyChange]:
    """Return all changes after a revision, which lead back to how it was then."""
    return _of_rows(PolicyChange.objects.using(using).filter(revision__gt=revision))


def of_change(change: PolicyChange, using: str) -> list[PolicyChange]:
    """Return one change; of a deletion those of the rows that went with it too."""
    if change.after is not None or not change.is_of_a_row:
        return [change] if change.is_of_a_row else []
    found = {(change.model, change.object_pk): change}
    others = [one for one in of_revision(change.revision, using) if one.after is None]
    size = 0
    while size != len(found):
        size = len(found)
        for one in others:
            if any(target in found for target in _targets(one)):
                found[one.model, one.object_pk] = one
    return sorted(found.values(), key=lambda one: one.pk)


def _of_rows(changes: Any) -> list[PolicyChange]:
    return [change for change in changes.order_by("pk") if change.is_of_a_row]


def _targets(change: PolicyChange) -> Iterator[tuple[str, str]]:
    model = _model(change.model)
    for column in model._meta.concrete_fields if model is not None else ():
        related: Any = column.related_model
        value = (change.before or {}).get(column.attname)
        if related is not None and value is not None:
            yield related._meta.label_lower, str(value)


def _model(label: str) -> type[PolicyModel] | None:
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        return None
    return model if issubclass(model, PolicyModel) else None


# -- what takes them back -----------------------------------------------------------


def plan_undo(changes: Sequence[PolicyChange], using: str, *, goes_back: bool = False) -> Undo:
    """Return the steps that take ``changes`` back, the oldest of them first.

    Args:
        goes_back: whether these are all changes since a revision; keys and blocked networks
            then stay as they are: who is locked out is not to come in by it.
    """
    undo = Undo(changes)
    by_row: dict[tuple[str, str], list[PolicyChange]] = {}
    for change in changes:
        by_row.setdefault((change.model, change.object_pk), []).append(change)
    for kind in STAY if goes_back else ():
        left = [row for row in by_row if row[0] == kind._meta.label_lower]
        if left:
            names = str(kind._meta.verbose_name_plural)
            plural = names if names[:2].isupper() else names.capitalize()
            undo.notes.append(f"{plural} stay as they are ({len(left)} were changed since).")
            by_row = {row: own for row, own in by_row.items() if row not in left}
    for label in dict.fromkeys(label for label, _ in by_row):
        model = _model(label)
        if model is None:
            undo.obstacles.append(f"There is no model {label} any more.")
            continue
        pks = [model._meta.pk.to_python(pk) for kind, pk in by_row if kind == label]
        current = read_rows(model, using, pks)
        for pk in pks:
            _Row(model, pk, by_row[label, str(pk)], current.get(pk), using).plan(undo)
    return undo


class _Row:
    """One row: how it was before the changes, how they left it, and how it is now."""

    def __init__(
        self,
        model: type[PolicyModel],
        pk: Any,
        changes: Sequence[PolicyChange],
        now: StoredRow | None,
        using: str,
    ) -> None:
        self.model, self.pk, self.changes, self.now, self.using = model, pk, changes, now, using
        self.existed = changes[0].before is not None
        self.name = now.name if now is not None else changes[-1].object_name
        self.target: dict[str, Any] = {}
        self.left: dict[str, Any] | None = {}
        for change in changes:
            self.target = {**(change.before or {}), **self.target}
            if change.after is None:
                self.left = None
            else:
                self.left = {**(self.left or {}), **change.after}

    def __str__(self) -> str:
        return f"{self.model._meta.verbose_name} “{self.name}”"

    def plan(self, undo: Undo) -> None:
        """Add the step of this row, or what stands in its way."""
        if not self.existed:
            self._plan_removal(undo)
        elif self.now is None:
            self._plan_return(undo)
        else:
            self._plan_change(undo, self.now)

    def _plan_removal(self, undo: Undo) -> None:
        now = self.now
        if now is None:
            return
        if self.model is Client:
            if now.values["enabled"]:
                undo.steps.append(self._step("disable", {"enabled": True}, {"enabled": False}))
            undo.notes.append(f"The {self} stays, disabled: keys and counts belong to it.")
        elif self.model is ApiKey:
            if now.values["revoked_at"] is None:
                undo.steps.append(self._step("revoke", {"revoked_at": None}, {"revoked_at": "now"}))
            undo.notes.append(f"The {self} stays, revoked: keys are never deleted.")
        elif not self._was_changed_later(undo, now, now.values):
            undo.steps.append(self._step("delete", dict(now.values), None))

    def _plan_return(self, undo: Undo) -> None:
        if self.left is not None:
            later = self._later_changes(None)
            undo.obstacles.append(f"The {self} was deleted later{later}.")
        elif self.model is ApiKey:
            undo.obstacles.append(
                f"The {self} cannot come back: its secret is not in the history. Issue a new one."
            )
        else:
            values = dict(self.target)
            if self.model is JwtIssuer and not (values["secret_name"] or values["jwks_url"]):
                undo.notes.append(f"The {self} comes back without its keys, and so disabled.")
                values["enabled"] = False
            undo.steps.append(self._step("create", None, values))

    def _plan_change(self, undo: Undo, now: StoredRow) -> None:
        wanted = {
            column: value
            for column, value in self.target.items()
            if column in now.values and now.values[column] != value
        }
        if self.model is ApiKey and now.values["revoked_at"] is not None and wanted:
            undo.obstacles.append(
                f"The {self} is revoked, and stays so. Issue a new key for its client."
            )
        elif wanted and not self._was_changed_later(undo, now, wanted):
            before = {column: now.values[column] for column in wanted}
            undo.steps.append(self._step("change", before, wanted))

    def _was_changed_later(self, undo: Undo, now: StoredRow, columns: Mapping[str, Any]) -> bool:
        """Note the columns that are not as the changes left them, and who changed them."""
        left = self.left
        if left is None:
            undo.obstacles.append(f"The {self} was made anew later{self._later_changes(None)}.")
            return True
        moved = [name for name in columns if name in left and now.values[name] != left[name]]
        for column in moved:
            field: Any = self.model._meta.get_field(column)
            label = str(field.verbose_name).capitalize()
            later = self._later_changes(column)
            undo.obstacles.append(f"{label} of the {self} was changed later{later}.")
        return bool(moved)

    def _later_changes(self, column: str | None) -> str:
        """Return the later changes of this row or column, to name them in a sentence."""
        rows = PolicyChange.objects.using(self.using).filter(
            model=self.model._meta.label_lower, object_pk=str(self.pk), pk__gt=self.changes[-1].pk
        )
        found = [
            f"revision {change.revision} by {change.actor_name or 'somebody'}"
            for change in rows.order_by("pk")
            if column is None or column in {**(change.before or {}), **(change.after or {})}
        ]
        more = ", …" if len(found) > MOST_NAMED else ""
        return f": {', '.join(found[:MOST_NAMED])}{more}" if found else ""

    def _step(
        self, kind: Kind, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> Step:
        actions = PolicyChange.Action
        action = {"create": actions.CREATED, "delete": actions.DELETED}.get(kind, actions.CHANGED)
        entry = Entry(action, self.model._meta.label_lower, self.pk, self.name, before, after)
        [named] = with_names(self.model, [entry], self.using)
        # What is gone has no other name than the one that the history kept.
        names: dict[str, dict[str, str]] = {}
        for known in (*(change.names for change in self.changes), named.names):
            for column, called in known.items():
                names[column] = {**names.get(column, {}), **called}
        return Step(kind, self.model, self.pk, replace(named, names=names))


def needed_permissions(steps: Iterable[Step]) -> set[str]:
    """Return the permissions on rows that take these steps, besides ``undo_change``."""
    verbs = {"create": "add", "delete": "delete", "revoke": "revoke"}
    needed = set()
    for step in steps:
        name = step.model._meta.model_name
        blocks = name == "blockednetwork"
        code = "block_network" if blocks else f"{verbs.get(step.kind, 'change')}_{name}"
        needed.add(f"apiguard.{code}")
    return needed
