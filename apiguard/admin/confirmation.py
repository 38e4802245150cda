"""What an edit does, shown before it is saved, and the one box that confirms it.

The value of the box is a hash of all sentences, so that a tick never confirms
what was not shown: if policy or the form moved meanwhile, the facts are shown
again. A lock-out of staff is one of these facts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..policy.build import full
from ..policy.callers import read_callers
from ..policy.compile import may_be_shared, recompile
from ..policy.consequences import Kind, Statement, compare
from ..policy.rows import MODELS, Delta, Rows
from ..policy.snapshot import Snapshot
from .lockout import Lockout, find_lockout

ACCEPT = "_confirm_effects"
"""The name of the check box."""

HEADINGS = {
    Kind.OPENS: (gettext_lazy("Opens"), "bad"),
    Kind.REMOVES: (gettext_lazy("Removes"), "warn"),
    Kind.CLOSES: (gettext_lazy("Closes"), "warn"),
    Kind.CHANGES: (gettext_lazy("Changes"), "quiet"),
}
# The buttons of a form; the one that was pressed is shown beside the facts.
BUTTONS = ("_continue", "_addanother", "_saveasnew", "_make_key")


class Group(NamedTuple):
    """Statements of one kind."""

    heading: str
    tone: str
    texts: list[str]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The facts of one edit."""

    statements: tuple[Statement, ...] = ()
    lockout: Lockout | None = None

    @property
    def texts(self) -> list[str]:
        """Return the sentences that wait for a confirmation."""
        found = [statement.text for statement in self.statements if statement.confirm]
        return [*found, *(() if self.lockout is None else self.lockout.texts)]

    @property
    def digest(self) -> str:
        """Return the value of the box."""
        return hashlib.sha256("\n".join(sorted(self.texts)).encode()).hexdigest()[:32]

    @property
    def name(self) -> str:
        """Return the name of the box."""
        return ACCEPT

    @property
    def label(self) -> str:
        """Return the words beside the box."""
        if self.lockout is not None:
            return _("I have read this, and I may lock myself out of %s") % self.lockout.path
        return _("I have read this: do it")

    @property
    def groups(self) -> list[Group]:
        """Return all sentences by kind, for the page."""
        return [
            Group(str(heading), tone, texts)
            for kind, (heading, tone) in HEADINGS.items()
            if (texts := [each.text for each in self.statements if each.kind == kind])
        ]

    @property
    def is_shown(self) -> bool:
        """Return whether there is anything to show."""
        return bool(self.statements or self.lockout)

    def is_needed(self, request: HttpRequest) -> bool:
        """Return whether the edit waits for a tick that was not given."""
        return bool(self.texts) and request.POST.get(ACCEPT) != self.digest


class ConfirmationNeeded(Exception):
    """Raised out of the transaction of an edit to roll it back."""

    def __init__(self, confirmation: Confirmation) -> None:
        super().__init__("This edit waits for a confirmation.")
        self.confirmation = confirmation


def judge_edit(
    request: HttpRequest, before: Snapshot, after: Snapshot, callers: Iterable[Statement] = ()
) -> Confirmation:
    """Return what the step from one policy to the other does.

    The numbers of clients and overrides are those that ``begin_edit`` stored, if it was called.

    Args:
        callers: what the same edit does to single clients and keys.
    """
    counted = getattr(request, "_apiguard_callers", None) or read_callers()
    statements = (*compare(before, after, counted), *callers)
    return Confirmation(statements, find_lockout(request, before, after))


def predict_deletion(
    request: HttpRequest, before: Snapshot, rows: Sequence[object]
) -> Confirmation:
    """Return what deleting ``rows`` would do; nothing is written."""
    deleted: dict[str, set[object]] = {}
    for row in rows:
        for member, model in MODELS.items():
            if isinstance(row, model):
                deleted.setdefault(member, set()).add(row.pk)
    if not deleted:
        return Confirmation()
    held = before if may_be_shared(before) else full().snapshot
    if held is None:
        return Confirmation()
    gone = {member: frozenset(pks) for member, pks in deleted.items()}
    return judge_edit(request, before, recompile(held, Delta(Rows(), gone)))


def pressed_button(request: HttpRequest) -> str:
    """Return the name of the button that sent the form."""
    return next((name for name in BUTTONS if name in request.POST), "_save")


def notes(confirmation: Confirmation) -> Iterator[str]:
    """Yield the sentences that need no confirmation."""
    for statement in confirmation.statements:
        if not statement.confirm:
            yield statement.text
