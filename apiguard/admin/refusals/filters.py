"""Filters of refused requests; each is a part of the URL, so a view can be sent to a colleague."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...models import Refusal, Route
from ...telemetry.refusal_search import DAY

# Clients that the list offers: those with the most refused requests of a day.
MOST_CLIENTS = 15
MOST_ROUTES = 50
MOST_REASONS = 50
PERIODS = {
    "15": _("last 15 minutes"),
    "60": _("last hour"),
    "1440": _("last 24 hours"),
    "10080": _("last 7 days"),
}


class _ByValue(admin.SimpleListFilter):
    """A filter of one column; a value that is not offered holds too, from a link."""

    column = ""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{self.column: value}) if value else queryset

    def with_value(self, choices: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Return what is offered, and the value that holds."""
        given = self.used_parameters.get(self.parameter_name or "")
        known = {value for value, _label in choices}
        return choices if not given or given in known else [(given, outcome_text(given)), *choices]


class ClientFilter(_ByValue):
    title, parameter_name, column = _("client"), "client", "client_slug"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        since = timezone.now() - DAY
        rows = model_admin.get_queryset(request).filter(at__gte=since).exclude(client_slug="")
        counted = rows.order_by().values_list("client_slug").annotate(total=Count("pk"))
        busiest = counted.order_by("-total", "client_slug")[:MOST_CLIENTS]
        return self.with_value([(slug, slug) for slug, _total in busiest])


class RouteFilter(_ByValue):
    title, parameter_name, column = _("route"), "route", "route_name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        names = Route.objects.order_by("name").values_list("name", flat=True)[:MOST_ROUTES]
        return self.with_value([(name, name) for name in names])


class CallerFilter(_ByValue):
    """The principal that was counted; offered only where a link has chosen one."""

    title, parameter_name, column = _("caller"), "principal", "principal"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return self.with_value([])


class ReasonFilter(_ByValue):
    title, parameter_name, column = _("reason"), "reason", "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        since = timezone.now() - DAY
        recent = model_admin.get_queryset(request).filter(at__gte=since).order_by("outcome")
        outcomes = recent.values_list("outcome", flat=True).distinct()[:MOST_REASONS]
        return self.with_value([(each, outcome_text(each)) for each in outcomes])


class PeriodFilter(admin.SimpleListFilter):
    title, parameter_name = _("time"), "minutes"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(PERIODS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value not in PERIODS:
            return queryset
        return queryset.filter(at__gte=timezone.now() - timedelta(minutes=int(value)))


class ResultFilter(admin.SimpleListFilter):
    title, parameter_name = _("result"), "result"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("refused", _("refused")), ("observed", _("would have been refused"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {"refused": True, "observed": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(enforced=wanted)


FILTERS = (PeriodFilter, ResultFilter, ReasonFilter, RouteFilter, ClientFilter, CallerFilter)


def outcome_text(outcome: str) -> str:
    """Return an outcome in words, such as "scope missing"."""
    return str(outcome).replace("_", " ")


def filters_of(refusal: Refusal) -> dict[str, str]:
    """Return the parameters that lead to all refused requests of the same caller."""
    if refusal.client_slug:
        return {"client": refusal.client_slug}
    return {"principal": refusal.principal}
