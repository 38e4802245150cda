"""The page of one refused request: why, by which row, and what changed since."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ...models import ApiKey, Client, PolicyChange, Refusal
from ...request.remedies import find_remedy
from ...telemetry.formatting import format_moment
from ...telemetry.refusal_search import kept_refusals
from ..base import current_snapshot
from ..display import model_label
from ..keys.pages import uncached
from ..row_links import form_urls, may, row_url
from .filters import filters_of

MOST_OTHERS = 10


def detail_view(request: HttpRequest, site: AdminSite, refusal: Refusal) -> HttpResponse:
    """Show one refused request; rows are linked where the user may view them."""
    request.current_app = site.name
    context = {
        **site.each_context(request),
        "title": _("Refused request %s") % refusal.request_id,
        "refusal": refusal,
        "when": format_moment(refusal.at),
        "remedy": find_remedy(refusal.outcome),
        "decided": _decided(request, site, refusal),
        "changes": list(_changes(request, site, refusal)),
        "facts": list(_facts(request, site, refusal)),
        "others": [
            {"row": row, "when": format_moment(row.at), "url": refusal_url(site, row)}
            for row in _others(refusal)
        ],
        "others_url": f"{_url(site, 'refusal_changelist')}?{urlencode(filters_of(refusal))}",
        "explain_url": _explain_url(request, site, refusal),
    }
    return uncached(TemplateResponse(request, "admin/apiguard/refusal/detail.html", context))


def refusal_url(site: AdminSite, refusal: Refusal) -> str:
    """Return the URL of the page of a refused request."""
    return _url(site, "refusal_change", refusal.pk)


def _url(site: AdminSite, name: str, *args: Any) -> str:
    try:
        return reverse(f"admin:apiguard_{name}", args=args, current_app=site.name)
    except NoReverseMatch:
        return ""


def _decided(request: HttpRequest, site: AdminSite, refusal: Refusal) -> dict[str, str] | None:
    model, pk = refusal.row_model, refusal.row_pk
    if not model:
        return None
    try:
        kind = model_label(model)
    except LookupError:  # A model that a later release does not have.
        return {"kind": model, "name": refusal.row_name, "url": ""}
    url = form_urls(request, site, [(model, int(pk) if pk.isdecimal() else pk)]).popitem()[1]
    return {"kind": kind, "name": refusal.row_name, "url": url}


def _others(refusal: Refusal) -> list[Refusal]:
    if refusal.client_pk is not None:
        rows = kept_refusals().filter(client_pk=refusal.client_pk)
    else:
        rows = kept_refusals().filter(principal=refusal.principal)
    return list(rows.exclude(pk=refusal.pk).order_by("-at", "-id")[:MOST_OTHERS])


def _facts(
    request: HttpRequest, site: AdminSite, refusal: Refusal
) -> Iterator[tuple[str, str, str]]:
    snapshot = current_snapshot()
    key = ApiKey.objects.filter(key_id=refusal.key_id).only("name").first()
    key = key if refusal.key_id else None
    client_pk = refusal.client_pk
    is_client = client_pk is not None and Client.objects.filter(pk=client_pk).exists()
    route_url = row_url(request, site, "route", refusal.route_pk)
    client_url = row_url(request, site, "client", client_pk) if is_client else ""
    named = refusal.key_id if key is None else f"{refusal.key_id} ({key.name})"
    now = "" if snapshot is None else _(" then, %d now") % snapshot.revision
    facts = [
        (_("Request id"), refusal.request_id, ""),
        (_("Route"), refusal.route_name or _("none"), route_url),
        (_("Client"), refusal.client_slug, client_url),
        (_("Key"), named, "" if key is None else row_url(request, site, "apikey", key.pk)),
        (_("Counted as"), refusal.principal, ""),
        (_("Address"), refusal.address, ""),
        (_("Origin"), refusal.origin, ""),
        (_("Content-Type"), refusal.content_type, ""),
        (_("Accept"), refusal.accept, ""),
        (_("Revision"), f"{refusal.revision}{now}", ""),
    ]
    return ((name, value, url) for name, value, url in facts if value)


def _changes(request: HttpRequest, site: AdminSite, refusal: Refusal) -> Iterator[dict[str, str]]:
    """Yield a sentence for each row of this request that was changed since."""
    key = ApiKey.objects.filter(key_id=refusal.key_id).values_list("pk", flat=True).first()
    rows = {
        ("route", str(refusal.route_pk)): refusal.route_name,
        (refusal.row_model, refusal.row_pk): refusal.row_name,
        ("client", str(refusal.client_pk)): refusal.client_slug,
        ("apikey", str(key if refusal.key_id else None)): refusal.key_id,
    }
    visible = [
        (model, pk) for model, pk in rows if model and pk != "None" and may(request, "view", model)
    ]
    wanted = Q(pk=None)
    for model, pk in visible:
        wanted |= Q(model=f"apiguard.{model}", object_pk=pk)
    since = PolicyChange.objects.filter(revision__gt=refusal.revision).filter(wanted)
    counted = since.order_by().values_list("model", "object_pk").annotate(total=Count("pk"))
    totals = {(model.partition(".")[2], pk): total for model, pk, total in counted}
    for model, pk in visible:
        total = totals.get((model, pk), 0)
        if total:
            yield _change(request, site, (model, rows[model, pk]), total)


def _change(
    request: HttpRequest, site: AdminSite, row: tuple[str, str], total: int
) -> dict[str, str]:
    model, name = row
    text = ngettext(
        "Since then the %(kind)s %(name)s was changed: %(total)d change.",
        "Since then the %(kind)s %(name)s was changed: %(total)d changes.",
        total,
    )
    url = ""
    if may(request, "view", "policychange"):
        query = urlencode({"model": f"apiguard.{model}", "q": name})
        url = f"{_url(site, 'policychange_changelist')}?{query}"
    return {"text": text % {"kind": model_label(model), "name": name, "total": total}, "url": url}


def _explain_url(request: HttpRequest, site: AdminSite, refusal: Refusal) -> str:
    if not request.user.has_perm("apiguard.explain_request"):
        return ""
    given = {
        "method": refusal.method,
        "path": refusal.path,
        "client": refusal.client_slug,
        "key": refusal.key_id if refusal.client_slug else "",
        "origin": refusal.origin,
        "content_type": refusal.content_type,
        "accept": refusal.accept,
        "address": refusal.address.partition("/")[0],
    }
    query = urlencode({name: value for name, value in given.items() if value})
    return f"{_url(site, 'explain')}?{query}"
