"""The history of policy: author, time and difference of each change; read-only."""

from __future__ import annotations

import json
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..models import PolicyChange, PolicyModel
from .base import Screen
from .display import DASH, badge

TONES = {"created": "good", "changed": "warn", "deleted": "bad", "published": "quiet"}


def policy_models() -> list[type[PolicyModel]]:
    """The models whose rows are policy."""
    models = apps.get_app_config("apiguard").get_models()
    return [model for model in models if issubclass(model, PolicyModel)]


class KindFilter(admin.SimpleListFilter):
    """Filter changes by kind of row; the choices need no query."""

    title = _("kind of row")
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        kinds = [model._meta for model in policy_models()]
        return [(kind.label_lower, kind.verbose_name) for kind in kinds]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(model=self.value()) if self.value() else queryset


class PolicyChangeAdmin(Screen):
    """The history of policy."""

    about = _("Every revision of policy. Enforced in every worker within about a second.")
    when_empty = _("Nothing was changed yet.")
    list_display = ("revision", "at", "who", "action_badge", "kind", "object_name", "summary")
    list_display_links = ("revision",)
    list_filter = ("action", KindFilter, "at")
    search_fields = ("object_name", "actor_name", "request_id")
    show_full_result_count = False
    fields = (
        "revision",
        "at",
        "who",
        "request_id",
        "action",
        "kind",
        "row",
        "reason",
        "difference",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The changes of rows that the user may see: a difference shows their values."""
        hidden = [
            model._meta.label_lower
            for model in policy_models()
            if not any(
                request.user.has_perm(f"apiguard.{action}_{model._meta.model_name}")
                for action in ("view", "change")
            )
        ]
        changes: QuerySet[Any] = super().get_queryset(request).exclude(model__in=hidden)
        return changes

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

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
        return ", ".join({**(change.before or {}), **(change.after or {})}) or DASH

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
        before, after = change.before or {}, change.after or {}
        rows = [
            (_field_name(change.model, name), _shown(before, name), _shown(after, name))
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


def _shown(values: dict[str, Any], name: str) -> str:
    if name not in values:
        return DASH
    value = values[name]
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2)


def _name_of(label: str) -> str:
    try:
        return str(apps.get_model(label)._meta.verbose_name)
    except (LookupError, ValueError):
        return label or DASH


def _field_name(label: str, name: str) -> str:
    try:
        field = apps.get_model(label)._meta.get_field(name)
    except (LookupError, ValueError, FieldDoesNotExist):
        return name
    return str(getattr(field, "verbose_name", name))


SCREENS = {PolicyChange: PolicyChangeAdmin}
