"""The overview: policy in force, workers, problems, routes, refusals and the counter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ... import conf
from ...models import (
    Client,
    CorsPolicy,
    HeaderPolicy,
    Limit,
    PolicyChange,
    PolicyState,
    ResponseHeader,
    Route,
    Tier,
)
from ...models.reach import has_channels
from ...models.state import write_alias
from ...policy.callers import read_callers
from ...policy.consequences.statements import Callers
from ...policy.snapshot import RowProblem, Snapshot
from ...policy.warnings import find_warnings
from ...transfer.baseline import write_baseline
from ..base import current_snapshot, problems_of
from ..display import (
    badge,
    format_content_rules,
    format_limits,
    format_scopes,
    lines,
    model_label,
)
from ..row_links import form_urls, may, row_url
from ..screens import record_actor
from ..site_pages import add_page, list_page
from . import traffic
from .counter import counter_status
from .status import status_line
from .webhooks import webhooks_status
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


def add_to(site: AdminSite) -> None:
    """Add the page "apiguard/overview/" to ``site``, and list it, unless ``site`` has it."""
    add_page(site, "overview", overview)
    list_page(site, "overview", _("Overview"), lambda request: may(request, "view", "route"))


def overview(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show the overview on GET; write the baseline on POST while there are no routes."""
    if not may(request, "view", "route"):
        raise PermissionDenied
    if request.method == "POST":
        return _write_baseline(request, site)
    request.current_app = site.name
    return TemplateResponse(request, "admin/apiguard/overview.html", _context(request, site))


def _context(request: HttpRequest, site: AdminSite) -> dict[str, Any]:
    """Return what the template shows; at most eleven queries, however many rows."""
    snapshot = current_snapshot()
    routes = list(Route.objects.select_related("cors_policy", "header_policy"))
    limits = list(_limits())
    problems = () if snapshot is None else snapshot.problems
    warnings = (
        []
        if snapshot is None
        else find_warnings(snapshot, _callers(routes, limits, snapshot), routes)
    )
    state, last_actor = _state()
    workers, counter = workers_status(state), counter_status()
    limits_by_tier: dict[Any, list[Limit]] = {}
    for limit in limits:
        limits_by_tier.setdefault(limit.tier_id, []).append(limit)
    return {
        **site.each_context(request),
        "title": _("What is enforced"),
        "status": status_line(snapshot, routes, warnings, workers.fleet, counter),
        "snapshot": snapshot,
        "testing": conf.current().testing,
        "changed_at": state.changed_at,
        "last_actor": last_actor,
        "problems": _problems(request, site, problems[:PROBLEMS_SHOWN], limits),
        "warnings": _problems(request, site, warnings[:PROBLEMS_SHOWN], limits),
        "problems_left_out": max(0, len(problems) - PROBLEMS_SHOWN),
        "routes": [_route(request, site, route, snapshot, limits_by_tier) for route in routes],
        "issuers": [] if snapshot is None else [one.name for one in snapshot.issuers.values()],
        "refusals": traffic.refusals(request, site, routes),
        "hours": traffic.requests_per_hour(request),
        "people": traffic.people(request, site, limits, snapshot),
        "expiring": traffic.expiring_keys(request, site),
        "has_channels": has_channels(),
        "counter": counter,
        "workers": workers,
        "webhooks": webhooks_status(),
        "may_explain": request.user.has_perm("apiguard.explain_request"),
        "may_write_baseline": _may_write_baseline(request),
    }


def _limits() -> QuerySet[Limit]:
    """Return all limits, each with the number of enabled clients in its tier."""
    enabled = Client._base_manager.filter(enabled=True, tier=OuterRef("tier")).order_by()
    count = enabled.values("tier").annotate(total=Count("pk")).values("total")
    rows = Limit.objects.select_related("tier", "route")
    return rows.annotate(clients_in_tier=Coalesce(Subquery(count), 0))


def _callers(routes: Sequence[Route], limits: Sequence[Any], snapshot: Snapshot) -> Callers:
    """Return what the warnings need to know of clients; no query unless a tier has no limits."""
    off = [route for route in routes if route.mode == Route.Mode.OFF]
    counts = {limit.tier_id: limit.clients_in_tier for limit in limits}
    if any(pk not in counts for pk in snapshot.tiers):
        counts = dict(read_callers().clients)
    named = tuple((route.pk, route.name, route.path_prefix) for route in off)
    return Callers(clients=counts, off=named)


def _state() -> tuple[PolicyState, str]:
    """Return the state of the policy in the database, and who changed it last; one query."""
    alias = write_alias()
    newest = PolicyChange.objects.using(alias).values("actor_name")[:1]
    rows = PolicyState.objects.using(alias).annotate(last_actor=Subquery(newest))
    state = rows.filter(pk=1).first()
    return (PolicyState(), "") if state is None else (state, state.last_actor or "")


def _may_write_baseline(request: HttpRequest) -> bool:
    return all(may(request, "add", str(model._meta.model_name)) for model in BASELINE_ROWS)


def _problems(
    request: HttpRequest, site: AdminSite, found: Sequence[RowProblem], limits: Sequence[Limit]
) -> list[ShownProblem]:
    """Return each problem with the URL of its row; one query per kind of other inlines."""
    known = {("limit", limit.pk): ("tier", limit.tier_id) for limit in limits}
    urls = form_urls(request, site, [(problem.model, problem.pk) for problem in found], known)
    return [
        ShownProblem(problem, model_label(problem.model), urls[problem.model, problem.pk])
        for problem in found
    ]


def _route(
    request: HttpRequest,
    site: AdminSite,
    route: Route,
    snapshot: Snapshot | None,
    limits: Mapping[Any, Sequence[Limit]],
) -> dict[str, Any]:
    anonymous = format_limits(limits.get(route.anonymous_tier_id, ()), route.pk)
    texts = [f"anonymous: {limit}" for limit in anonymous]
    if route.access == Route.Access.APPLICATION:
        users = format_limits(limits.get(route.user_tier_id, ()), route.pk)
        texts += [f"users: {limit}" for limit in users]
    return {
        "row": route,
        "url": row_url(request, site, "route", route.pk),
        "mode": badge(route.mode),
        "observes": route.mode == Route.Mode.OBSERVE,
        "is_off": route.mode == Route.Mode.OFF,
        "access": lines([route.access, *format_scopes(route)]),
        "limits": lines([*texts, *traffic.tiers_by_route(snapshot, route, limits)]),
        "content": lines(format_content_rules(route)),
        "problems": problems_of(route, snapshot),
    }


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
