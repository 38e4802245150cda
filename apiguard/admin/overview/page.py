"""The overview: policy in force, workers, problems, routes, refusals and the counter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ... import conf
from ...models import (
    CorsPolicy,
    HeaderPolicy,
    HourlyCount,
    Limit,
    PolicyChange,
    ResponseHeader,
    Route,
    Tier,
)
from ...models.reach import has_channels
from ...policy.snapshot import RowProblem, Snapshot
from ...transfer.baseline import write_baseline
from ..base import add_page, current_snapshot, problems_of, record_actor
from ..display import (
    badge,
    first_hour_of_day,
    format_content_rules,
    format_route_limits,
    format_scopes,
    lines,
    model_label,
)
from ..policy_warnings import find_odd_routes, find_warnings
from ..row_links import form_urls, may, row_url
from .counter import counter_status
from .workers import workers_status

# The models of the baseline; writing it needs the add permission of each.
BASELINE_ROWS = (Route, CorsPolicy, HeaderPolicy, ResponseHeader, Tier, Limit)

# A table of tens of thousands of rows would slow the page down and help nobody.
PROBLEMS_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ShownProblem:
    """One problem as the page lists it; ``url`` is the form where it can be fixed."""

    problem: RowProblem
    kind: str
    url: str


@dataclass(frozen=True, slots=True)
class Refusals:
    """Requests that one route refused, or would have refused, for one reason in 24 hours."""

    route: str
    url: str
    reason: str
    enforced: bool
    count: int

    @property
    def count_text(self) -> str:
        return f"{self.count:,}"


def add_to(site: AdminSite) -> None:
    """Add the page "apiguard/overview/" to ``site``, unless ``site`` has it."""
    add_page(site, "overview", overview)


def overview(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show the overview on GET; write the baseline on POST while there are no routes."""
    if not may(request, "view", "route"):
        raise PermissionDenied
    if request.method == "POST":
        return _write_baseline(request, site)
    request.current_app = site.name
    snapshot = current_snapshot()
    routes = Route.objects.select_related("cors_policy", "header_policy")
    routes = routes.prefetch_related("anonymous_tier__limits", "user_tier__limits")
    problems = () if snapshot is None else snapshot.problems
    warnings = list(islice(chain(find_warnings(snapshot), find_odd_routes()), PROBLEMS_SHOWN))
    context = {
        **site.each_context(request),
        "title": _("What is enforced"),
        "snapshot": snapshot,
        "testing": conf.current().testing,
        "last_change": PolicyChange.objects.first(),
        "problems": _problems(request, site, problems[:PROBLEMS_SHOWN]),
        "warnings": _problems(request, site, warnings),
        "problems_left_out": max(0, len(problems) - PROBLEMS_SHOWN),
        "routes": [_route(request, site, route, snapshot) for route in routes],
        "refusals": _refusals(request, site, list(routes)),
        "has_channels": has_channels(),
        "counter": counter_status(),
        "workers": workers_status(),
        "may_explain": request.user.has_perm("apiguard.explain_request"),
        "may_write_baseline": _may_write_baseline(request),
    }
    return TemplateResponse(request, "admin/apiguard/overview.html", context)


def _may_write_baseline(request: HttpRequest) -> bool:
    return all(may(request, "add", str(model._meta.model_name)) for model in BASELINE_ROWS)


def _problems(
    request: HttpRequest, site: AdminSite, found: Sequence[RowProblem]
) -> list[ShownProblem]:
    """Return each problem with the URL of its row; one query per kind of inline."""
    urls = form_urls(request, site, [(problem.model, problem.pk) for problem in found])
    return [
        ShownProblem(problem, model_label(problem.model), urls[problem.model, problem.pk])
        for problem in found
    ]


def _route(
    request: HttpRequest, site: AdminSite, route: Route, snapshot: Snapshot | None
) -> dict[str, Any]:
    return {
        "row": route,
        "url": row_url(request, site, "route", route.pk),
        "mode": badge(route.mode),
        "access": lines([route.access, *format_scopes(route)]),
        "limits": lines(format_route_limits(route)),
        "content": lines(format_content_rules(route)),
        "problems": problems_of(route, snapshot),
    }


def _refusals(request: HttpRequest, site: AdminSite, routes: Iterable[Route]) -> list[Refusals]:
    names = {route.pk: route.name for route in routes}
    counts = (
        HourlyCount.objects.order_by()
        .filter(hour__gte=first_hour_of_day(timezone.now()))
        .values_list("route_pk", "outcome", "enforced")
        .annotate(total=Sum("count"))
        .order_by("-total")
    )
    return [
        Refusals(
            route=names.get(pk, str(_("a route that is gone"))),
            url=row_url(request, site, "route", pk) if pk in names else "",
            reason=outcome.replace("_", " "),
            enforced=enforced,
            count=total,
        )
        for pk, outcome, enforced, total in counts
    ]


def _write_baseline(request: HttpRequest, site: AdminSite) -> HttpResponse:
    if not _may_write_baseline(request):
        raise PermissionDenied
    if Route.objects.exists():
        messages.warning(request, _("There are routes already; nothing was written."))
    else:
        _report_baseline(request)
    return HttpResponseRedirect(reverse("admin:apiguard_overview", current_app=site.name))


def _report_baseline(request: HttpRequest) -> None:
    try:
        with record_actor(request), transaction.atomic(using=router.db_for_write(Route)):
            made = write_baseline(prefix="/api/", enforce=False)
    except ValidationError as error:
        messages.error(request, "; ".join(error.messages))
        return
    text = ngettext(
        "The baseline is written: %d row.", "The baseline is written: %d rows.", len(made)
    )
    messages.success(request, text % len(made))
