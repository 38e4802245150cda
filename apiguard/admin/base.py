"""Base classes of the screens whose rows are policy: validated edits, marked problems.

An edit that adds an error to policy is refused at its form (see ``edit_validation``).
Lists mark rows that have an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.db import connections, models, router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from ..errors import PolicyError
from ..policy.holder import PolicyUnavailable, holder
from ..policy.snapshot import RowProblem, Snapshot
from ..policy.warnings import read_warnings
from .confirmation import (
    Confirmation,
    ConfirmationNeeded,
    predict_deletion,
    pressed_button,
)
from .display import badge, model_label
from .edit_merge import MergeFormSet, with_shown
from .edit_validation import (
    EditRefused,
    FormRefusalMixin,
    InlineRefusalMixin,
    begin_edit,
    lock_policy,
    refusal_of,
    set_refusal,
    transaction_snapshot,
    validate_deletion,
    validate_edit,
    with_refusal,
)
from .forms import PolicyForm
from .initial_values import shown_values
from .screens import REASON, Screen, given_reason, record_actor

if TYPE_CHECKING:
    # Django's classes take no subscript at run time.
    StockInline = admin.TabularInline[Any, Any]
else:
    StockInline = admin.TabularInline


def current_snapshot() -> Snapshot | None:
    """Return the policy that this process enforces; ``None`` if it cannot be read."""
    try:
        return holder.snapshot()
    except PolicyUnavailable:
        return None


class PolicyAdmin(Screen):
    """Base class of screens whose rows are policy.

    Class attributes:
        can_break_policy: false where no value of these rows is compiled, so
            that an edit needs no validation against the other rows.
        marks_problems: whether the list shows which rows have errors.
        needs_reason: whether the form wants the reason of the change.
    """

    form = PolicyForm
    can_break_policy: ClassVar[bool] = True
    marks_problems: ClassVar[bool] = False
    needs_reason: ClassVar[bool] = False

    # -- forms ----------------------------------------------------------------

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the query fills in, without values that a field cannot show."""
        return dict(shown_values(self.opts, super().get_changeform_initial_data(request)))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        merges = obj is not None and self.has_change_permission(request, obj)
        return with_shown(fieldsets) if merges else fieldsets

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        using = router.db_for_write(self.model)
        if request.method == "POST" and connections[using].in_atomic_block:
            # What is read from here on is what the edit overwrites.
            lock_policy()
        return super().get_object(request, object_id, from_field)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        shown = partial(super().changeform_view, request, object_id, form_url, extra_context)
        with record_actor(request):
            try:
                return self.retry_conflicts(request, shown)
            except EditRefused as refused:
                set_refusal(request, refused.refusal)
            except ConfirmationNeeded as needed:
                set_refusal(request, refusal_of(needed.confirmation))
                request._apiguard_confirmation = needed.confirmation  # type: ignore[attr-defined]
            return self.retry_conflicts(request, shown)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return with_refusal(form, FormRefusalMixin, request)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        confirmation: Confirmation | None = getattr(request, "_apiguard_confirmation", None)
        if confirmation is not None:
            # The facts stand in a block of their own; they are no mistake of this person.
            facts = [" ".join(confirmation.texts)]
            context["errors"] = [found for found in context["errors"] if list(found) != facts]
            context |= {"confirmation": confirmation, "pressed": pressed_button(request)}
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if self.can_break_policy:
            begin_edit(request)
            warnings = read_warnings(transaction_snapshot())
            request._apiguard_warnings = warnings  # type: ignore[attr-defined]
        if not change or form.has_changed():  # Saving an unchanged form is no revision.
            super().save_model(request, obj, form, change)

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Sequence[Any], change: bool
    ) -> None:
        super().save_related(request, form, formsets, change)
        if self.can_break_policy:
            known = {
                (found.model, found.pk, found.error.code) for found in _warnings_before(request)
            }
            validate_edit(request, form, formsets)
            for found in read_warnings(transaction_snapshot()):
                if (found.model, found.pk, found.error.code) not in known:
                    text = f"{model_label(found.model)} “{found.name}”: {found.error}"
                    self.message_user(request, text, messages.WARNING)

    # -- history --------------------------------------------------------------

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the recorded changes of this row; of who may not view them, Django's page."""
        if not request.user.has_perm("apiguard.view_policychange"):
            return super().history_view(request, object_id, extra_context)
        url = reverse("admin:apiguard_policychange_changelist", current_app=self.admin_site.name)
        query = {"model": self.model._meta.label_lower, "object_pk": unquote(object_id)}
        return HttpResponseRedirect(f"{url}?{urlencode(query)}")

    # -- deleting -------------------------------------------------------------

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        view = partial(super().delete_view, request, object_id, extra_context)
        return self.confirmed(request, view, of_one_row=True)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with self._validated_deletion(request):
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        with transaction.atomic(using=queryset.db), self._validated_deletion(request):
            # One by one, so that the history names each row.
            for row in queryset:
                row.delete()

    @contextmanager
    def _validated_deletion(self, request: HttpRequest) -> Iterator[None]:
        if self.can_break_policy:
            begin_edit(request)
        yield
        if self.can_break_policy:
            validate_deletion(request)

    def confirmed(
        self, request: HttpRequest, view: Callable[[], HttpResponse], of_one_row: bool = False
    ) -> HttpResponse:
        """Return the response of ``view``, or its confirmation page with the reason and a box."""
        if request.method != "POST":
            return self._with_effects(request, super().confirmed(request, view))
        try:
            answer = super().confirmed(request, partial(self._in_transaction, view))
            return self._with_effects(request, answer)
        except ConfirmationNeeded as needed:
            # Without the confirmation, the pages delete nothing and show their form again.
            # The page of one row deletes it if anything was sent at all, so nothing is.
            sent = QueryDict(mutable=True)
            if not of_one_row and "action" in request.POST:
                sent = request.POST.copy()
                sent.pop("post", None)
                sent[REASON] = given_reason(request)
            request.POST = sent  # type: ignore[assignment]
            request._apiguard_confirmation = needed.confirmation  # type: ignore[attr-defined]
            return self._with_effects(request, view())

    def deletion_effects(self, rows: Sequence[Any]) -> list[str]:
        """Return sentences on what deleting ``rows`` does, for the confirmation page."""
        return []

    def _with_effects(self, request: HttpRequest, answer: HttpResponse) -> HttpResponse:
        context = getattr(answer, "context_data", None) or {}
        if "deleted_objects" in context:
            rows = [context["object"]]
        elif "deletable_objects" in context:
            rows = list(context["queryset"])
        else:
            return answer
        context["effects"] = self.deletion_effects(rows)
        if self.can_break_policy and not (context["protected"] or context["perms_lacking"]):
            confirmation = getattr(request, "_apiguard_confirmation", None)
            if confirmation is None:
                confirmation = predict_deletion(request, transaction_snapshot(), rows)
            context["confirmation"] = confirmation if confirmation.is_shown else None
        return answer

    def _in_transaction(self, view: Callable[[], HttpResponse]) -> HttpResponse:
        # Django records what an action deletes before it deletes it.
        with transaction.atomic(using=router.db_for_write(self.model)):
            return view()

    # -- lists ----------------------------------------------------------------

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        changelist = super().get_changelist_instance(request)
        if self.marks_problems or "problems_marker" in self.get_list_display(request):
            snapshot = current_snapshot()
            for row in changelist.result_list:
                row.apiguard_problems = problems_of(row, snapshot)
        return changelist

    @admin.display(description=_("problems"))
    def problems_marker(self, row: Any) -> SafeString:
        """Return a red badge with all reasons where the row has errors."""
        problems: Sequence[PolicyError] = getattr(row, "apiguard_problems", ())
        if not problems:
            return format_html('<span class="apiguard-quiet">{}</span>', _("none"))
        reasons = "\n".join(str(problem) for problem in problems)
        return format_html('<span title="{}">{}</span>', reasons, badge(str(len(problems)), "bad"))


def _warnings_before(request: HttpRequest) -> list[RowProblem]:
    found: list[RowProblem] = getattr(request, "_apiguard_warnings", [])
    return found


def problems_of(row: Any, snapshot: Snapshot | None) -> list[PolicyError]:
    """Return the problems of ``row`` in the policy in force; no query."""
    if snapshot is None:
        return []
    key = (row._meta.model_name, row.pk)
    found = [problem for problem in snapshot.problems if (problem.model, problem.pk) == key]
    route = snapshot.routes.find(row.path_prefix) if key[0] == "route" else None
    if route is not None and route.pk == row.pk:
        found += [problem for problem in route.broken if problem not in found]
    return [problem.error for problem in found]


class PolicyInline(StockInline):
    """Base class of rows that are edited inside another row's form."""

    form = PolicyForm
    formset = MergeFormSet
    template = "admin/apiguard/inline.html"
    extra = 0

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return with_shown(fieldsets) if self.has_change_permission(request, obj) else fieldsets

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        # Four icons beside every select of every row would hide the values.
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        # Django's table of inline rows has heads, but no label for each field.
        for field in formset.form.base_fields.values():
            field.widget.attrs.setdefault("aria-label", capfirst(str(field.label or "")))
        return with_refusal(formset, InlineRefusalMixin, request)
