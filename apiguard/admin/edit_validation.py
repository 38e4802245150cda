"""Edits that would put a new error into policy, and how their forms say so.

Whether a row fits the others can be told only when all of them are saved,
inlines included. So the edit is saved, policy is compiled inside the same
transaction, and if there is an error that was not there before, the
transaction is rolled back and the form is shown again with everything that
was typed. Errors that were there before are nobody's fault just now; the
overview shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest

from ..errors import PolicyError
from ..models import PolicyState
from ..models.state import write_alias
from ..policy import load
from ..policy.compile import compile_rows
from ..policy.holder import holder
from ..policy.snapshot import RowProblem
from .display import model_label
from .forms import with_value

if TYPE_CHECKING:
    from django.forms import BaseForm, BaseFormSet

# Prefix of a formset, and the number of a form in it.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an edit would have broken: in the row's own form, and in its inlines.

    Each error stands beside the field that shows it; "" is the form as a whole.
    """

    form: tuple[tuple[str, ValidationError], ...]
    inlines: Mapping[Place, tuple[tuple[str, ValidationError], ...]] = field(default_factory=dict)


class EditRefused(Exception):
    """Raised out of the transaction of an edit, so that it is rolled back."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__("This edit would break policy.")
        self.refusal = refusal


class FormRefusalMixin:
    """Mixed into a form class; ``refusal`` is what the first try met."""

    refusal: Refusal

    def full_clean(self) -> None:
        super().full_clean()  # type: ignore[misc]
        _add_errors(self, self.refusal.form)


class InlineRefusalMixin:
    """The same for the formset class of an inline."""

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
    """``kind``, a form or formset class, with what was refused a moment ago, if anything."""
    refusal = getattr(request, "_apiguard_refusal", None)
    return kind if refusal is None else type(kind.__name__, (mixin, kind), {"refusal": refusal})


def set_refusal(request: HttpRequest, refusal: Refusal) -> None:
    """Let the forms of this request show ``refusal`` when they are built again."""
    request._apiguard_refusal = refusal  # type: ignore[attr-defined]


def record_problems(request: HttpRequest) -> None:
    """Keep what is wrong before the edit; to be called in its transaction, before its writes."""
    # The lock that every edit takes first: nobody else's error is taken for this edit's.
    PolicyState.objects.using(write_alias()).select_for_update().filter(pk=1).first()
    request._apiguard_problems = current_problems()  # type: ignore[attr-defined]


def current_problems() -> tuple[RowProblem, ...]:
    """Everything that is wrong with the rows as this transaction sees them.

    Policy is compiled for it only where nobody in this process or transaction
    has compiled this revision yet.
    """
    state = load.state()
    known = holder.snapshot()
    if known is not None and (known.revision, known.stamp) == (state.revision, state.stamp):
        return known.problems
    return compile_rows(load.rows(state)[1]).problems


def refuse_new_problems(request: HttpRequest, form: Any, formsets: Sequence[Any]) -> None:
    """Compare with what ``record_problems`` kept, after all writes of the edit.

    Raises:
        EditRefused: something is wrong that was not wrong before.
    """
    before = {_identity(problem) for problem in getattr(request, "_apiguard_problems", ())}
    added = [problem for problem in current_problems() if _identity(problem) not in before]
    if added:
        raise EditRefused(_placed(added, form, formsets))


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
    """``error`` as one line: whose it is, the value, the reason, the hint."""
    text = with_value(error.value, str(error))
    if error.suggestion:
        text = f"{text} Such as: {error.suggestion}"
    return ValidationError(f"{of}: {text}" if of else text, error.code)
