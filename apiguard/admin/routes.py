"""The screen of routes: path prefixes and the rules enforced under them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import HourlyCount, Route, Tier
from ..rules.paths import PrefixTable
from .base import PolicyAdmin
from .coverage import covers
from .display import (
    DASH,
    badge,
    first_hour_of_day,
    format_content_rules,
    format_scopes,
    format_tier_limits,
    lines,
)
from .enforcing import EnforceMixin, may_view_requests, trial_of_route
from .pick_lists import PickListsMixin
from .route_presets import PRESETS, initial_of_copy, initial_of_preset
from .suggestions import SuggestionForm, SuggestionsMixin
from .tier_choice import RatedTierChoice


def refusals_of_a_day(enforced: bool) -> Coalesce:
    """Return the number of refused (or observed) requests per route in 24 hours, as a subquery."""
    counts = (
        HourlyCount.objects.order_by()
        .filter(
            route_pk=OuterRef("pk"), enforced=enforced, hour__gte=first_hour_of_day(timezone.now())
        )
        .values("route_pk")
        .annotate(total=Sum("count"))
        .values("total")
    )
    return Coalesce(Subquery(counts), 0)


class RouteAdmin(EnforceMixin, PickListsMixin, SuggestionsMixin, PolicyAdmin):
    """The screen of routes."""

    about = _(
        "The longest matching prefix decides; nothing is inherited from a shorter one. "
        "A path below no prefix is not guarded."
    )
    when_empty = _(
        "There are no routes, so nothing is guarded. Write the recommended baseline from the "
        "overview, or add a route. Start in mode “observe” to see which requests it would refuse."
    )
    list_display = ("name", "path_and_rules", "mode_badge", "access_list", "refusals")
    marks_problems = True
    list_filter = ("mode", "access", "cors_policy", "header_policy", "anonymous_tier")
    list_select_related = ("cors_policy", "header_policy", "anonymous_tier")
    search_fields = ("name", "path_prefix")
    fieldsets = (
        (None, {"fields": ("name", "path_prefix", "covers", "mode")}),
        (_("Who may call"), {"fields": ("access", "required_scopes", "cors_policy")}),
        (
            _("How often"),
            {"fields": ("anonymous_tier", "user_tier", "cost", "reserve")},
        ),
        (
            _("What a request may be"),
            {"fields": ("methods", "accepts", "produces", "max_body_bytes")},
        ),
        (_("What a response carries"), {"fields": ("header_policy",)}),
    )

    readonly_fields = ("covers",)
    form = SuggestionForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.annotate(
            would_refuse_count=refusals_of_a_day(enforced=False),
            refused_count=refusals_of_a_day(enforced=True),
        )
        return rows.prefetch_related("anonymous_tier__limits")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        # A new route refuses nothing until a person has seen what it would refuse.
        initial = {"mode": Route.Mode.OBSERVE, **super().get_changeform_initial_data(request)}
        copied = self._copied(request)
        if copied is not None:
            return initial | initial_of_copy(copied)
        return initial | initial_of_preset(request.GET.get("preset", ""))

    def _copied(self, request: HttpRequest) -> Route | None:
        pk = request.GET.get("copy", "")
        route = Route.objects.filter(pk=pk).first() if pk.isdecimal() and len(pk) < 19 else None
        return route if route and self.has_view_permission(request, route) else None

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = kwargs.get("obj")
        if row is not None and row.mode == Route.Mode.OBSERVE:
            shows = may_view_requests(request)
            context["trial"] = trial_of_route(row, shows_requests=shows)
        if kwargs.get("add") and request.method == "GET" and "_popup" not in request.GET:
            context["presets"] = PRESETS.items()
            context["chosen_preset"] = request.GET.get("preset", "")
        return super().render_change_form(request, context, *args, **kwargs)

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name in ("anonymous_tier", "user_tier"):
            tiers = Tier.objects.prefetch_related("limits__route")
            kwargs |= {"form_class": RatedTierChoice, "queryset": tiers}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def deletion_effects(self, rows: Sequence[Any]) -> list[str]:
        """Return which route applies afterwards where one only observed; see ``confirmation``."""
        gone = {row.pk for row in rows}
        others = {row.path_prefix: row for row in Route.objects.exclude(pk__in=gone)}
        table = PrefixTable({prefix: row for prefix, row in others.items() if row.mode != "off"})
        return [_effect(row, table) for row in rows if row.mode == Route.Mode.OBSERVE]

    @admin.display(description=_("covers"))
    def covers(self, route: Any) -> SafeString | str:
        if route.pk is None:
            return gettext("Save the route to see how many URL patterns its prefix covers.")
        return covers(route, self.admin_site)

    @admin.display(description=_("path and rules"), ordering="path_prefix")
    def path_and_rules(self, route: Route) -> SafeString:
        """Return the prefix, and below it in one line what is enforced there."""
        return format_html(
            '<code>{}</code><span class="apiguard-line apiguard-quiet">{}</span>',
            route.path_prefix,
            " · ".join(_rules(route)),
        )

    @admin.display(description=_("mode"), ordering="mode")
    def mode_badge(self, route: Route) -> SafeString:
        problems = getattr(route, "apiguard_problems", ())
        if not problems:
            return badge(route.mode)
        return format_html("{} {}", badge(route.mode), self.problems_marker(route))

    @admin.display(description=_("access"), ordering="access")
    def access_list(self, route: Route) -> SafeString | str:
        return lines([route.access, *format_scopes(route)])

    @admin.display(description=_("refused (24 h)"), ordering="refused_count")
    def refusals(self, route: Any) -> SafeString | str:
        found = [number(route.refused_count)] if route.refused_count else []
        if route.would_refuse_count:
            count = number(route.would_refuse_count)
            found.append(format_html("{} {}", count, _("would have been")))
        return lines(found)


def _rules(route: Route) -> list[str]:
    rules = [_("CORS %s") % route.cors_policy] if route.cors_policy is not None else []
    if route.header_policy is not None:
        rules.append(_("headers %s") % route.header_policy)
    limits = format_tier_limits(route.anonymous_tier, route.pk)
    rules += [_("anonymous: %s") % limit for limit in limits]
    return [*rules, *format_content_rules(route)]


def _effect(row: Route, others: PrefixTable[Route]) -> str:
    after = others.find(row.path_prefix)
    if after is None:
        return _("Everything under %s becomes unguarded.") % row.path_prefix
    named = {"prefix": row.path_prefix, "name": after.name, "other": after.path_prefix}
    text = _("The route “%(name)s” (%(other)s) will apply to everything under %(prefix)s.")
    return text % named


def number(count: int) -> str:
    """Format a count; zero is a dash, so that other numbers stand out."""
    return format_html('<span class="apiguard-number">{}</span>', f"{count:,}") if count else DASH


SCREENS = {Route: RouteAdmin}
