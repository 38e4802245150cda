"""Make the policy what a file says: one transaction, one revision, through the models.

The revision is taken first, which keeps every other editor out until the end; then the
file is compared with what is there. So nothing that somebody else wrote is overwritten
unseen: a plan made on another revision is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.db.models import ProtectedError, RestrictedError

from ..errors import DocumentError
from ..models import PolicyModel
from ..models.state import Change, one_revision, publish, write_alias
from ..policy.compile import compile_rows
from .difference import Changed
from .documents import Document
from .entries import Entry, RowId, describe, read_policy
from .future_rows import compiled_rows, mistakes, new_row, set_values, user_pks
from .plan import Plan, make_plan, new_problems, refusal
from .sections import BY_NAME, SECTIONS


class PlanRefused(Exception):
    """The file cannot be applied; nothing was written."""

    def __init__(self, problems: list[DocumentError]) -> None:
        super().__init__(" ".join(map(str, problems)))
        self.problems = problems


class RevisionMoved(Exception):
    """The policy is of another revision than was expected; nothing was written."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"Revision {expected} was expected; the policy is of revision {found}.")
        self.expected, self.found = expected, found


def apply_document(
    document: Document, *, prune: bool = False, expect: int | None = None
) -> tuple[int, Plan]:
    """Apply a document; return the revision of the policy afterwards, and what was done.

    Args:
        prune: delete the rows that the document covers and does not hold.
        expect: the revision that the policy must have.

    Raises:
        PlanRefused: the document has mistakes, or would not compile.
        RevisionMoved: the policy has another revision.
        PolicyMoved, django.db.Error: the database cannot be read or written.
    """
    using = write_alias()
    with one_revision(), transaction.atomic(using=using):
        # Before anything is read: from here on nobody else changes policy until the commit. Of
        # routes it names none that is gone, so by itself it makes no worker forget anything.
        revision = publish(Change("route", ()), using)
        if expect is not None and expect != revision - 1:
            raise RevisionMoved(expect, revision - 1)
        plan = make_plan(document, prune=prune)
        if plan.problems:
            raise PlanRefused(list(plan.problems))
        difference = plan.difference
        if not (difference.created or difference.changed or (prune and difference.absent)):
            transaction.set_rollback(True, using=using)
            return revision - 1, plan
        _Writer(document, plan, using).write(prune=prune)
    return revision, plan


class _Writer:
    def __init__(self, document: Document, plan: Plan, using: str) -> None:
        self.document, self.plan, self.using = document, plan, using
        difference = plan.difference
        self.rows = dict(plan.policy.rows)
        # Before the rows get other values.
        self.before = compile_rows(compiled_rows(self.rows.values()))
        written = [*difference.created, *(changed.after for changed in difference.changed)]
        self.pks: dict[RowId, Any] = user_pks(written)
        for row_id, row in self.rows.items():
            self.pks[difference.ids.get(row_id, row_id)] = row.pk

    def write(self, *, prune: bool) -> None:
        difference = self.plan.difference
        # Names first, in the order in which they become free; then what may refer to them.
        for row_id in difference.swapped:
            self.rows[row_id].free_value(BY_NAME[row_id[0]].natural[-1], self.using)
        for old, new in difference.ids.items():
            self._rename(old, new)
        self._free_values(prune=prune)
        for entry in difference.created:
            self._create(entry)
        for changed in difference.changed:
            self._change(changed)
        if prune:
            for entry in sorted(difference.absent, key=_last_section_first):
                self._delete(entry)
        after = read_policy(with_clients=False)
        compiled = compile_rows(compiled_rows(after.rows.values()))
        wrong = [
            DocumentError(problem.error.code, "", str(problem))
            for problem in new_problems(self.before, compiled)
        ]
        if wrong:
            raise PlanRefused(wrong)

    def _rename(self, old: RowId, new: RowId) -> None:
        section = BY_NAME[new[0]]
        name = section.natural[-1]
        if old[-1] == new[-1] or not section.has_names:
            return  # Only a row above it has another name.
        row = self.rows[old]
        setattr(row, name, new[-1])
        row.save(using=self.using, update_fields=[name])

    def _free_values(self, *, prune: bool) -> None:
        """Take the values that only one row may have from rows whose values others will have."""
        difference = self.plan.difference
        written = [*difference.created, *(changed.after for changed in difference.changed)]
        wanted = {
            (entry.id[0], name, entry.values[name])
            for entry in written
            for name in _unique_fields(entry)
        }
        losing = [(one.before, one.fields) for one in difference.changed]
        if prune:
            losing += [(entry, _unique_fields(entry)) for entry in difference.absent]
        for entry, names in losing:
            for name in set(names) & set(_unique_fields(entry)):
                if (entry.id[0], name, entry.values[name]) in wanted:
                    self.rows[entry.id].free_value(name, self.using)

    def _create(self, entry: Entry) -> None:
        row = new_row(entry, self.pks)
        self._save(row, entry, set())
        self.pks[entry.id] = row.pk

    def _change(self, changed: Changed) -> None:
        row = self.rows[changed.before.id]
        before = set(mistakes(row, in_database=True))
        names = [name for name in changed.fields if not self._is_set(row, name, changed)]
        if not names:
            return  # The new name was all of it.
        set_values(row, changed.after, names, self.pks)
        self._save(row, changed.after, before, names)

    def _is_set(self, row: PolicyModel, name: str, changed: Changed) -> bool:
        own = BY_NAME[changed.after.id[0]].natural[-1]
        return changed.is_renamed and name == own

    def _save(
        self,
        row: PolicyModel,
        entry: Entry,
        known: set[tuple[str, str]],
        names: list[str] | None = None,
    ) -> None:
        refused = list(self._refusals(row, entry, known))
        if refused:
            raise PlanRefused(refused)
        # Only what the file changes: a worker may store fetched keys beside this transaction.
        row.save(using=self.using, update_fields=names)

    def _refusals(
        self, row: PolicyModel, entry: Entry, known: set[tuple[str, str]]
    ) -> Iterator[DocumentError]:
        for field, sentence in mistakes(row, in_database=True):
            if (field, sentence) not in known:
                yield refusal(self.document, entry, field, sentence)

    def _delete(self, entry: Entry) -> None:
        try:
            self.rows[entry.id].delete(using=self.using)
        except (ProtectedError, RestrictedError) as error:
            blocking = sorted({str(row._meta.verbose_name_plural) for row in error.args[1]})
            reason = f"{describe(entry.id)} cannot be deleted: {', '.join(blocking)} refer to it."
            raise PlanRefused([DocumentError("protected", "", reason)]) from error


def _unique_fields(entry: Entry) -> tuple[str, ...]:
    """Return the fields besides its name whose values only one row may have."""
    section = BY_NAME[entry.id[0]]
    return tuple(
        name for name, each in section.fields.items() if each.unique and name not in section.natural
    )


def _last_section_first(entry: Entry) -> int:
    return -[section.name for section in SECTIONS].index(entry.id[0])
