"""The history of policy: author, time and difference of each change; read-only."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import DateTimeField, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..history.replay import policy_models
from ..history.undo import Step
from ..models import PolicyChange
from ..models.state import write_alias
from ..telemetry.formatting import format_moment
from .display import DASH, badge, lines
from .screens import RecordAdmin
from .undo import UndoMixin

TONES = {
    "found": "warn",
    "created": "good",
    "changed": "warn",
    "deleted": "bad",
    "published": "quiet",
}


def hidden_kinds(request: HttpRequest) -> list[str]:
    """Return the kinds of rows that the user may not view."""
    return [
        model._meta.label_lower
        for model in policy_models()
        if not any(
            request.user.has_perm(f"apiguard.{action}_{model._meta.model_name}")
            for action in ("view", "change")
        )
    ]


class KindFilter(admin.SimpleListFilter):
    """Filter changes by kind of row; the choices need no query."""

    title = _("kind of row")
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        kinds = [model._meta for model in policy_models()]
        return [(kind.label_lower, kind.verbose_name) for kind in kinds]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(model=self.value()) if self.value() else queryset


class PolicyChangeAdmin(UndoMixin, RecordAdmin):
    """The history of policy."""

    about = _("Every revision of policy. Enforced in every worker within about a second.")
    when_empty = _("Nothing was changed yet.")
    list_display = ("revision", "when_and_who", "action_badge", "kind_and_row", "summary")
    list_display_links = ("revision",)
    list_filter = ("action", KindFilter, "at")
    search_fields = ("object_name", "actor_name", "request_id")
    show_full_result_count = False
    fields = (
        "revision",
        "when",
        "who",
        "request_id",
        "action",
        "kind",
        "row",
        "reason",
        "difference",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the changes of rows that the user may see: a difference shows their values."""
        changes: QuerySet[Any] = (
            super().get_queryset(request).exclude(model__in=hidden_kinds(request))
        )
        return changes

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = super().get_list_display(request)
        return (*shown, "undo_link") if self.has_undo_permission(request) else shown

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        return (*fields, "undo_links") if self.has_undo_permission(request) else fields

    def hidden_kinds(self, request: HttpRequest) -> list[str]:
        """Return the kinds of rows that the user may not view."""
        return hidden_kinds(request)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # The history of one row; see ``PolicyAdmin.history_view``.
        return lookup == "object_pk" or super().lookup_allowed(lookup, value, request)

    @admin.display(description=_("when"), ordering="at")
    def when(self, change: PolicyChange) -> str:
        return format_moment(change.at)

    @admin.display(description=_("when, by whom"), ordering="at")
    def when_and_who(self, change: PolicyChange) -> SafeString | str:
        who = change.actor_name or _("an unnamed program")
        return lines([format_moment(change.at), who])

    @admin.display(description=_("row"), ordering="object_name")
    def kind_and_row(self, change: PolicyChange) -> SafeString | str:
        return lines([_name_of(change.model), change.object_name or DASH])

    @admin.display(description=_("who"), ordering="actor_name")
    def who(self, change: PolicyChange) -> str:
        return change.actor_name or DASH

    @admin.display(description=_("action"), ordering="action")
    def action_badge(self, change: PolicyChange) -> SafeString:
        return badge(change.get_action_display(), TONES.get(change.action, "quiet"))

    @admin.display(description=_("kind of row"), ordering="model")
    def kind(self, change: PolicyChange) -> str:
        return _name_of(change.model)

    @admin.display(description=_("fields"))
    def summary(self, change: PolicyChange) -> str:
        if change.action != PolicyChange.Action.CHANGED:
            return DASH
        names = {**(change.before or {}), **(change.after or {})}
        return ", ".join(_field_name(change.model, name) for name in names) or DASH

    @admin.display(description=_("row"))
    def row(self, change: PolicyChange) -> SafeString | str:
        name = change.object_name or DASH
        view = f"admin:{change.model.replace('.', '_')}_change"
        try:
            url = reverse(view, args=[change.object_pk], current_app=self.admin_site.name)
        except NoReverseMatch:
            return name
        if change.action == PolicyChange.Action.DELETED or not change.object_pk:
            return name
        return format_html('<a href="{}">{}</a>', url, name)

    @admin.display(description=_("difference"))
    def difference(self, change: PolicyChange) -> SafeString | str:
        if not change.is_of_a_row:
            return _as_text(change.after)
        return difference_table(change.model, change.before, change.after, change.names)

    # -- undo -------------------------------------------------------------------

    @admin.display(description=_("undo"))
    def undo_link(self, change: PolicyChange) -> SafeString | str:
        """Return a link to what taking back this one change does."""
        if not change.is_of_a_row:
            return DASH
        url = self.undo_url(change=change.pk)
        return format_html('<a href="{}">{}</a>', url, _("undo …"))

    @admin.display(description=_("undo"))
    def undo_links(self, change: PolicyChange) -> SafeString | str:
        """Return links to the three ways back."""
        number = change.revision
        links = [
            (self.undo_url(revision=number), gettext("all of revision %d …") % number),
            (self.undo_url(to=number), gettext("everything since revision %d …") % number),
        ]
        if change.is_of_a_row:
            links.insert(0, (self.undo_url(change=change.pk), gettext("this change …")))
        return format_html_join("", '<a class="apiguard-line" href="{}">{}</a>', links)

    def shown_step(self, step: Step) -> dict[str, Any]:
        """Return what is done to one row, for the page."""
        entry = step.entry
        before, after = entry.before, entry.after
        if before is None or after is None:
            # Of a whole row, what it does not set says nothing.
            before, after = _set_values(step, before), _set_values(step, after)
        return {
            "verb": VERBS[step.kind],
            "kind": step.model._meta.verbose_name,
            "name": entry.name,
            "difference": difference_table(entry.model, before, after, entry.names),
        }


def _set_values(step: Step, values: Mapping[str, Any] | None) -> dict[str, Any]:
    pk = step.model._meta.pk.attname
    empty: tuple[Any, ...] = (None, "", [], {})
    return {k: v for k, v in (values or {}).items() if v not in empty and k != pk}


VERBS = {
    "create": _("Create again:"),
    "change": _("Change back:"),
    "delete": _("Delete:"),
    "disable": _("Disable:"),
    "revoke": _("Revoke:"),
}


def difference_table(
    label: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    names: Mapping[str, Mapping[str, str]],
) -> SafeString | str:
    """Return the values of one row side by side; rows that it refers to by name."""
    shown = partial(_shown, label, names)
    before, after = before or {}, after or {}
    rows = [
        (_field_name(label, name), shown(before, name), shown(after, name))
        for name in {**before, **after}
    ]
    if not rows:
        return DASH
    return format_html(
        '<table class="apiguard-difference"><thead><tr><th scope="col">{}</th>'
        '<th scope="col">{}</th><th scope="col">{}</th></tr></thead><tbody>{}</tbody></table>',
        _("field"),
        _("before"),
        _("after"),
        format_html_join(
            "",
            '<tr><th scope="row">{}</th><td><pre>{}</pre></td><td><pre>{}</pre></td></tr>',
            rows,
        ),
    )


def _shown(
    label: str, names: Mapping[str, Mapping[str, str]], values: Mapping[str, Any], name: str
) -> str:
    if name not in values:
        return DASH
    called = (names or {}).get(name, {}).get(str(values[name]))
    if called:
        return called
    field = _field(label, name)
    related = getattr(field, "related_model", None)
    if related is not None and values[name] is not None:
        row = related._base_manager.using(write_alias()).filter(pk=values[name]).first()
        gone = gettext("%(kind)s no. %(pk)s, deleted since")
        kind = related._meta.verbose_name
        return str(row) if row is not None else gone % {"kind": kind, "pk": values[name]}
    return _as_text(values[name], field)


def _as_text(value: Any, field: Any = None) -> str:
    """Return a recorded value as people read it: no JSON, no ``None``."""
    if value is None or value in ("", [], {}):
        return DASH
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list):
        return "\n".join(_as_text(item) for item in value)
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_as_text(item)}" for name, item in value.items())
    if isinstance(field, DateTimeField) and (at := parse_datetime(str(value))) is not None:
        return format_moment(at)
    return str(value)


def _name_of(label: str) -> str:
    try:
        return str(apps.get_model(label)._meta.verbose_name)
    except (LookupError, ValueError):
        return label or DASH


def _field_name(label: str, name: str) -> str:
    return str(getattr(_field(label, name), "verbose_name", name))


def _field(label: str, name: str) -> Any:
    try:
        return apps.get_model(label)._meta.get_field(name)
    except (LookupError, ValueError, FieldDoesNotExist):
        return None


SCREENS = {PolicyChange: PolicyChangeAdmin}
