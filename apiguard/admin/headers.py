"""Header policies: the headers of every response of a route."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..models import HeaderPolicy, ResponseHeader
from .base import PolicyAdmin, PolicyInline
from .display import as_strings, lines
from .edit_merge import MergeFormSet


class HeaderFormSet(MergeFormSet):
    """Allows each header name once per list of content types, case-insensitively."""

    def clean(self) -> None:
        super().clean()
        seen: set[tuple[str, tuple[str, ...]]] = set()
        for form in self.forms:
            if form in self.deleted_forms or not hasattr(form, "cleaned_data"):
                continue
            name = str(form.cleaned_data.get("name", "")).lower()
            row = (name, tuple(form.cleaned_data.get("content_types") or ()))
            if name and row in seen:
                form.add_error("name", _("This header is listed twice. Remove one of the rows."))
            seen.add(row)


class HeaderInline(PolicyInline):
    model = ResponseHeader
    formset = HeaderFormSet
    fields = ("name", "value", "mode", "condition", "content_types")

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "value":
            kwargs["widget"] = forms.TextInput()
        if db_field.name == "content_types":
            kwargs["widget"] = forms.Textarea(attrs={"rows": 1})
        return super().formfield_for_dbfield(db_field, request, **kwargs)


class HeaderPolicyAdmin(PolicyAdmin):
    """A named set of response headers."""

    about = _("Headers of every response of the routes that use a policy, refusals included.")
    when_empty = _("There are no header policies. The baseline brings one named “api”.")
    list_display = ("name", "header_list", "used_by", "problems_marker")
    search_fields = ("name", "headers__name")
    fields = ("name",)
    inlines = (HeaderInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("headers", "routes")

    @admin.display(description=_("headers"))
    def header_list(self, policy: HeaderPolicy) -> SafeString | str:
        return lines(format_header(header) for header in policy.headers.all())

    @admin.display(description=_("used by routes"))
    def used_by(self, policy: HeaderPolicy) -> SafeString | str:
        return lines(policy.routes.all())


def format_header(header: ResponseHeader) -> str:
    """Such as "Expires: 0 (default)"; "without X-Powered-By (text/html)"."""
    removed = header.mode == ResponseHeader.Mode.REMOVE
    text = f"without {header.name}" if removed else f"{header.name}: {header.value}"
    notes = [header.mode] if header.mode == ResponseHeader.Mode.DEFAULT else []
    notes += ["https"] if header.condition == ResponseHeader.Condition.HTTPS else []
    notes += as_strings(header.content_types)
    return text + (f" ({', '.join(notes)})" if notes else "")


SCREENS = {HeaderPolicy: HeaderPolicyAdmin}
