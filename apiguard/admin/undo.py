"""The page that takes changes back: the reverse difference, what it does, one button.

The page is made by taking the changes back and rolling that back, so that it shows
what will happen, effects on requests included. It is sent with the revision that it
was made for; where policy has moved since, it is shown anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from ..history.apply import UndoRefused, apply_undo
from ..history.undo import Undo, of_change, of_revision, plan_undo, since_revision
from ..models import PolicyChange, PolicyState
from ..models.state import write_alias
from ..policy.consequences import compare_callers
from ..telemetry.formatting import format_moment
from .blocks import blocks_own_address
from .confirmation import Confirmation, judge_edit
from .conflict_retry import add_message
from .edit_validation import begin_edit, transaction_snapshot
from .screens import Screen, given_reason, record_actor
from .undo_rights import find_missing_rights

if TYPE_CHECKING:
    PageBase = Screen
else:
    PageBase = object

MOST_STEPS = 200
MOST_AUTHORS = 10


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be taken back, as a query string names it."""

    title: str
    changes: Sequence[PolicyChange]
    goes_back: bool = False


@dataclass(slots=True)
class Trial:
    """What taking changes back came to."""

    undo: Undo
    obstacles: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    confirmation: Confirmation | None = None

    def is_possible(self) -> bool:
        """Return whether there is something to do, and nothing in its way."""
        return bool(self.undo.steps) and not self.obstacles


def _authors(changes: Sequence[PolicyChange]) -> Iterator[str]:
    """Yield when, by whom and why the changes were made, once for each revision."""
    for _revision, group in groupby(reversed(changes), key=lambda change: change.revision):
        first = next(group)
        named = {
            "revision": first.revision,
            "when": format_moment(first.at),
            "who": first.actor_name or _("an unnamed program"),
        }
        text = _("Revision %(revision)d, %(when)s, by %(who)s") % named
        yield f"{text}: {first.reason}" if first.reason else text


class _RolledBack(Exception):
    """Raised out of a trial, so that nothing of it stays."""


class UndoMixin(PageBase):
    """Mixin of the history's screen that takes changes back."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.undo_view)
        return [path("undo/", view, name="apiguard_policychange_undo"), *super().get_urls()]

    def has_undo_permission(self, request: HttpRequest) -> bool:
        """Return whether the signed-in user may take changes back at all."""
        return bool(request.user.has_perm("apiguard.undo_change"))

    def undo_url(self, **query: object) -> str:
        """Return the address of the page for a ``change``, a ``revision``, or back ``to`` one."""
        url = reverse("admin:apiguard_policychange_undo", current_app=self.admin_site.name)
        return f"{url}?{urlencode(query)}"

    def undo_view(self, request: HttpRequest) -> HttpResponse:
        """Show what an undo does on GET; do it on POST."""
        if not self.has_undo_permission(request) or not self.has_view_permission(request):
            raise PermissionDenied
        selection = self._selection(request)
        if request.method == "POST":
            with record_actor(request):
                return self.retry_conflicts(request, partial(self._undo, request, selection))
        return self._undo_page(request, selection, self._try(request, selection))

    def _selection(self, request: HttpRequest) -> Selection:
        using = write_alias()
        visible = self.get_queryset(request).using(using)
        for name in ("change", "revision", "to"):
            text = request.GET.get(name, "")
            if not (text.isascii() and text.isdigit() and len(text) < 19):
                continue
            number = int(text)
            if name == "change":
                change = visible.filter(pk=number).first()
                if change is None:
                    break
                title = _("Undo a change of %(name)s") % {"name": change.object_name}
                selection = Selection(title, of_change(change, using))
            elif name == "revision":
                title = _("Undo revision %(number)d") % {"number": number}
                selection = Selection(title, of_revision(number, using))
            else:
                title = _("Back to how it was at revision %(number)d") % {"number": number}
                selection = Selection(title, since_revision(number, using), goes_back=True)
            if {change.model for change in selection.changes} & set(self.hidden_kinds(request)):
                raise PermissionDenied  # A difference shows the values of rows.
            return selection
        raise Http404

    def _try(self, request: HttpRequest, selection: Selection) -> Trial:
        """Take the changes back, see what came of it, and roll it back."""
        trials: list[Trial] = []
        try:
            with transaction.atomic(using=write_alias()):
                trials.append(self._apply(request, selection, ""))
                raise _RolledBack
        except _RolledBack:
            return trials[0]

    def _apply(self, request: HttpRequest, selection: Selection, reason: str) -> Trial:
        using = write_alias()
        begin_edit(request)
        before = transaction_snapshot()
        undo = plan_undo(selection.changes, using, goes_back=selection.goes_back)
        trial = Trial(undo, [*undo.obstacles, *find_missing_rights(request.user, undo.steps)])
        if not trial.is_possible():
            return trial
        callers = undo.callers(using)
        try:
            apply_undo(undo, using, reason)
        except UndoRefused as refused:
            trial.obstacles += refused.obstacles
            return trial
        after = transaction_snapshot()
        of_callers = compare_callers(
            callers, undo.callers(using), (before, after), datetime.now(UTC)
        )
        known = {str(problem) for problem in before.problems}
        trial.problems = [str(one) for one in after.problems if str(one) not in known]
        trial.confirmation = judge_edit(request, before, after, of_callers)
        if blocks_own_address(request, after):
            trial.obstacles.append(_("This would block your own address."))
        return trial

    def _undo(self, request: HttpRequest, selection: Selection) -> HttpResponse:
        trials: list[Trial] = []
        try:
            with transaction.atomic(using=write_alias()):
                trials.append(self._apply_if_seen(request, selection))
        except _RolledBack:
            return self._undo_page(request, selection, self._try(request, selection))
        revision = PolicyState.objects.using(write_alias()).get(pk=1).revision
        text = _("Done as revision %(revision)d.") % {"revision": revision}
        add_message(request, messages.SUCCESS, " ".join([text, *trials[0].undo.notes]))
        url = reverse("admin:apiguard_policychange_changelist", current_app=self.admin_site.name)
        return HttpResponseRedirect(url)

    def _apply_if_seen(self, request: HttpRequest, selection: Selection) -> Trial:
        """Take the changes back if that is what the page showed.

        Raises:
            _RolledBack: policy has moved, a box is not ticked, or it cannot be done.
        """
        begin_edit(request)
        revision = PolicyState.objects.using(write_alias()).get(pk=1).revision
        if request.POST.get("expect") != str(revision):
            add_message(
                request, messages.WARNING, _("Policy was changed meanwhile. This is how it is now.")
            )
            raise _RolledBack
        trial = self._apply(request, selection, given_reason(request))
        confirmation = trial.confirmation
        if not trial.is_possible():
            raise _RolledBack
        if confirmation is not None and confirmation.is_needed(request):
            add_message(
                request, messages.WARNING, _("Nothing was done: tick the box if this may happen.")
            )
            raise _RolledBack
        return trial

    def _undo_page(self, request: HttpRequest, selection: Selection, trial: Trial) -> HttpResponse:
        state = PolicyState.objects.using(write_alias()).filter(pk=1).first()
        request.current_app = self.admin_site.name
        steps = [self.shown_step(step) for step in trial.undo.steps[:MOST_STEPS]]
        confirmation = trial.confirmation
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": selection.title,
            "made": list(islice(_authors(selection.changes), MOST_AUTHORS)),
            "trial": trial,
            "steps": steps,
            "steps_left_out": max(0, len(trial.undo.steps) - MOST_STEPS),
            "confirmation": confirmation if confirmation and confirmation.is_shown else None,
            "expect": 0 if state is None else state.revision,
        }
        return TemplateResponse(request, "admin/apiguard/undo.html", context)

    def hidden_kinds(self, request: HttpRequest) -> list[str]:
        """Return the kinds of rows that the user may not view."""
        raise NotImplementedError

    def shown_step(self, step: Any) -> dict[str, Any]:
        """Return what is done to one row, for the page."""
        raise NotImplementedError
