"""Validation of an edit against all other policy rows.

Whether a row fits the others is known only when all of them are saved, inlines
included. So the edit is saved, policy is compiled inside the same transaction,
and if there is an error that was not there before, the transaction is rolled
back and the form is shown again with everything that was typed. Errors from
before the edit do not block it; the overview shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from ..errors import PolicyError
from ..models import PolicyState
from ..models.state import write_alias
from ..policy import build, load
from ..policy.callers import read_callers
from ..policy.consequences import CallerRecords, compare_callers
from ..policy.holder import holder
from ..policy.snapshot import RowProblem, Snapshot, empty
from .confirmation import Confirmation, ConfirmationNeeded, judge_edit, notes
from .conflict_retry import add_message
from .display import model_label
from .forms import with_value
from .lockout import warn_of_other_sites

if TYPE_CHECKING:
    from django.forms import BaseForm, BaseFormSet

CONFIRM = "confirm"
"""The code of the error of a form that waits for a confirmation."""

# Prefix of a formset, and the number of a form in it.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The errors that an edit would have added, in the row's own form and in its inlines.

    Each error stands beside the field that shows it; "" is the form as a whole.
    """

    form: tuple[tuple[str, ValidationError], ...]
    inlines: Mapping[Place, tuple[tuple[str, ValidationError], ...]] = field(default_factory=dict)


class EditRefused(Exception):
    """Raised out of the transaction of an edit to roll it back."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__("This edit would break policy.")
        self.refusal = refusal


class FormRefusalMixin:
    """Mixin of a form class that shows ``refusal``, the result of the first attempt."""

    refusal: Refusal

    def full_clean(self) -> None:
        super().full_clean()  # type: ignore[misc]
        _add_errors(self, self.refusal.form)


class InlineRefusalMixin:
    """Mixin of an inline formset class that shows ``refusal``."""

    refusal: Refusal

    def full_clean(self) -> None:
        super().full_clean()  # type: ignore[misc]
        for (prefix, index), errors in self.refusal.inlines.items():
            if prefix == self.prefix:  # type: ignore[attr-defined]
                _add_errors(self.forms[index], errors)  # type: ignore[attr-defined]


def _add_errors(form: Any, errors: Iterable[tuple[str, ValidationError]]) -> None:
    for name, error in errors:
        form.add_error(name if name in form.fields else None, error)


def with_refusal(kind: type[Any], mixin: type[Any], request: HttpRequest) -> type[Any]:
    """Return ``kind``, a form or formset class, with the refusal of this request, if any."""
    refusal = getattr(request, "_apiguard_refusal", None)
    return kind if refusal is None else type(kind.__name__, (mixin, kind), {"refusal": refusal})


def set_refusal(request: HttpRequest, refusal: Refusal) -> None:
    """Make the forms of this request show ``refusal`` when they are built again."""
    request._apiguard_refusal = refusal  # type: ignore[attr-defined]


def begin_edit(request: HttpRequest) -> None:
    """Store the policy before the edit; call this in its transaction, before its writes."""
    lock_policy()
    request._apiguard_before = transaction_snapshot()  # type: ignore[attr-defined]
    request._apiguard_callers = read_callers()  # type: ignore[attr-defined]


def lock_policy() -> None:
    """Take the lock that every policy change takes, until the transaction ends."""
    PolicyState.objects.using(write_alias()).select_for_update().filter(pk=1).first()


def transaction_snapshot() -> Snapshot:
    """Return the policy of the rows as this transaction sees them.

    Policy is compiled only if this process or transaction has not compiled
    this revision yet, and then only what changed.
    """
    state = load.state()
    known = holder.snapshot()
    if known is not None and (known.revision, known.stamp) == (state.revision, state.stamp):
        return known
    read = build.incremental(known, state) if state.revision else build.full(state)
    return read.snapshot or empty()


def validate_edit(request: HttpRequest, form: Any, formsets: Sequence[Any]) -> None:
    """Compare with the policy that ``begin_edit`` stored, after all writes of the edit.

    Raises:
        EditRefused: there is a problem that was not there before.
        ConfirmationNeeded: it opens, closes or removes something, and is not confirmed.
    """
    before, after = _before(request), transaction_snapshot()
    known = {_identity(problem) for problem in before.problems}
    added = [problem for problem in after.problems if _identity(problem) not in known]
    if added:
        raise EditRefused(_placed(added, form, formsets))
    confirm_edit(request, before, after)


def confirm_edit(request: HttpRequest, before: Snapshot, after: Snapshot) -> None:
    """Let an edit pass whose effects are confirmed; tell what it changes besides.

    Raises:
        ConfirmationNeeded: it is not confirmed.
    """
    confirm(request, judge_edit(request, before, after))
    warn_of_other_sites(request, before, after)


def confirm(request: HttpRequest, confirmation: Confirmation) -> None:
    """Let an edit pass that is confirmed.

    Raises:
        ConfirmationNeeded: it is not.
    """
    if confirmation.is_needed(request):
        raise ConfirmationNeeded(confirmation)
    for text in notes(confirmation):
        add_message(request, messages.INFO, text)


def confirm_callers(request: HttpRequest, before: CallerRecords, after: CallerRecords) -> None:
    """Let an edit of clients or keys pass whose effects are confirmed.

    Raises:
        ConfirmationNeeded: it is not confirmed.
    """
    policy = transaction_snapshot()
    statements = compare_callers(before, after, (policy, policy), datetime.now(UTC))
    confirm(request, Confirmation(statements))


def refusal_of(confirmation: Confirmation) -> Refusal:
    """Return the refusal that shows the form again, with the facts as its error."""
    return Refusal((("", ValidationError(" ".join(confirmation.texts), CONFIRM)),))


def validate_deletion(request: HttpRequest) -> None:
    """Compare with the policy that ``begin_edit`` stored, after all rows are deleted.

    Raises:
        ConfirmationNeeded: it opens, closes or removes something, and is not confirmed.
    """
    confirm_edit(request, _before(request), transaction_snapshot())


def _before(request: HttpRequest) -> Snapshot:
    before: Snapshot = request._apiguard_before  # type: ignore[attr-defined]
    return before


def _identity(problem: RowProblem) -> tuple[Any, ...]:
    # Not the reason: it may name rows, and renaming one breaks nothing.
    error = problem.error
    return problem.model, problem.pk, error.code, error.field, repr(error.value)


def _placed(
    problems: Iterable[RowProblem], form: BaseForm, formsets: Sequence[BaseFormSet[Any]]
) -> Refusal:
    places: dict[tuple[str, Any], tuple[Place | None, Any]] = {
        _row(form.instance): (None, form)  # type: ignore[attr-defined]
    }
    for formset in formsets:
        for index, inline in enumerate(formset.forms):
            places[_row(inline.instance)] = ((str(formset.prefix), index), inline)
    own: list[tuple[str, ValidationError]] = []
    inlines: dict[Place, tuple[tuple[str, ValidationError], ...]] = {}
    for problem in problems:
        place, shown_by = places.get((problem.model, problem.pk), (None, None))
        if shown_by is None:
            own.append(
                ("", _message(problem.error, of=f"{model_label(problem.model)} “{problem.name}”"))
            )
            continue
        name = getattr(shown_by, "shown_as", {}).get(problem.error.field, problem.error.field)
        entry = (name if name in shown_by.fields else "", _message(problem.error))
        if place is None:
            own.append(entry)
        else:
            inlines[place] = (*inlines.get(place, ()), entry)
    return Refusal(tuple(own), inlines)


def _row(instance: Any) -> tuple[str, Any]:
    return instance._meta.model_name, instance.pk


def _message(error: PolicyError, of: str = "") -> ValidationError:
    """Format ``error`` as one line: row, value, reason, hint."""
    text = with_value(error.value, str(error))
    if error.suggestion:
        text = f"{text} Such as: {error.suggestion}"
    return ValidationError(f"{of}: {text}" if of else text, error.code)
