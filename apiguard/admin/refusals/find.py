"""The page behind the box "Find a refused request"."""

from __future__ import annotations

from functools import partial
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from ...telemetry.refusal_search import find_refusals, why_not_found
from ..site_pages import add_page, list_page
from ..time_limit import in_time
from .detail import refusal_url


def add_to(site: AdminSite) -> None:
    """Add the page "apiguard/find/" to ``site``, and list it, unless ``site`` has it."""
    add_page(site, "find", find_view)
    list_page(site, "find", _("Find a refused request"), _may_find)


def _may_find(request: HttpRequest) -> bool:
    return request.user.has_perm("apiguard.view_refusal")


def find_view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Lead to the one request that the id names, or to the list; or say why there is none."""
    if not _may_find(request):
        raise PermissionDenied
    return in_time(request, site, partial(_find, request, site))


def _find(request: HttpRequest, site: AdminSite) -> HttpResponse:
    text = request.GET.get("id", "").strip()[:128].replace("\x00", "")
    found = find_refusals(text, 2)
    if len(found) == 1:
        return HttpResponseRedirect(refusal_url(site, found[0]))
    if found:
        url = reverse("admin:apiguard_refusal_changelist", current_app=site.name)
        return HttpResponseRedirect(f"{url}?{urlencode({'q': text})}")
    request.current_app = site.name
    context = {
        **site.each_context(request),
        "title": _("Find a refused request"),
        "looked_for": text,
        "reasons": list(why_not_found(text)) if text else [],
    }
    return TemplateResponse(request, "admin/apiguard/refusal/not_found.html", context)
