"""The screens of CORS policies and allowed origins."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import AllowedOrigin, CorsPolicy
from .base import PolicyAdmin, PolicyInline
from .display import DASH, as_strings, badge, lines
from .pick_lists import PickListsMixin
from .suggestions import SuggestionForm, SuggestionsMixin

# A form with more rows than this is slow in a browser.
MOST_INLINE = 100


class OriginInline(PolicyInline):
    model = AllowedOrigin
    form = SuggestionForm
    fields = ("pattern", "enabled", "note")


class CorsPolicyAdmin(PickListsMixin, SuggestionsMixin, PolicyAdmin):
    """The screen of CORS policies."""

    form = SuggestionForm
    about = _(
        "Which websites may call the API from a browser, and which response headers they may read."
    )
    when_empty = _("There are no CORS policies. Routes without one ignore the Origin header.")
    list_display = ("name", "origins_link", "foreign", "used_by", "problems_marker")
    list_filter = ("allow_credentials", "refuse_foreign_origins")
    search_fields = ("name", "origins__pattern")
    readonly_fields = ("origins_link",)
    fieldsets = (
        (None, {"fields": ("name", "origins_link", "refuse_foreign_origins", "allow_credentials")}),
        (
            _("Preflights"),
            {"fields": ("allowed_methods", "allowed_headers", "exposed_headers", "max_age")},
        ),
        (
            _("Dangerous"),
            {
                "classes": ("collapse",),
                "fields": (
                    "dangerously_allow_insecure_origins",
                    "dangerously_allow_public_suffixes",
                ),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.annotate(origin_count=Count("origins", distinct=True))
        return rows.prefetch_related("routes")

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        # A sent form keeps its rows, however many another person has added since.
        typed = "origins-TOTAL_FORMS" in request.POST
        many = obj is not None and not typed and obj.origins.count() > MOST_INLINE
        return [] if many else [OriginInline]

    @admin.display(description=_("allowed origins"), ordering="origin_count")
    def origins_link(self, policy: Any) -> SafeString | str:
        if policy.pk is None:
            return DASH
        site = self.admin_site.name
        url = reverse("admin:apiguard_allowedorigin_changelist", current_app=site)
        count = getattr(policy, "origin_count", 0)
        text = f"{count:,}" if count else _("none yet")
        return format_html('<a href="{}?policy__id__exact={}">{}</a>', url, policy.pk, text)

    @admin.display(description=_("foreign origins"), ordering="refuse_foreign_origins")
    def foreign(self, policy: CorsPolicy) -> SafeString:
        """Return what happens to foreign origins, and below it what allowed ones may do."""
        refused = policy.refuse_foreign_origins
        shown = (
            badge("refused with 403", "good") if refused else badge("served, unreadable", "warn")
        )
        methods = ", ".join(as_strings(policy.allowed_methods)) or "GET, HEAD, POST"
        credentials = gettext("credentials allowed; ") if policy.allow_credentials else ""
        details = '<span class="apiguard-line apiguard-quiet">{}{}</span>'
        return format_html("{}" + details, shown, credentials, methods)

    @admin.display(description=_("used by routes"))
    def used_by(self, policy: CorsPolicy) -> SafeString | str:
        return lines(policy.routes.all())


class AllowedOriginAdmin(SuggestionsMixin, PolicyAdmin):
    """All origins of all policies."""

    form = SuggestionForm
    about = _("One origin, or one family of origins, per row.")
    when_empty = _("There are no allowed origins: policies that refuse foreign origins refuse all.")
    list_display = ("pattern", "policy", "enabled", "note", "problems_marker")
    list_filter = ("policy", "enabled")
    list_select_related = ("policy",)
    search_fields = ("pattern", "note")
    fields = ("policy", "pattern", "enabled", "note")


SCREENS: dict[type[Any], type[PolicyAdmin]] = {
    CorsPolicy: CorsPolicyAdmin,
    AllowedOrigin: AllowedOriginAdmin,
}
