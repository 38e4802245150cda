"""Links from pages without a model of their own to the forms of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from ..models import Limit, LimitOverride, ResponseHeader

# Rows that are edited inside another's form: its model, and how to get there.
EDITED_INSIDE: Mapping[str, tuple[type[Any], str, str]] = {
    "limit": (Limit, "tier_id", "tier"),
    "responseheader": (ResponseHeader, "policy_id", "headerpolicy"),
    "limitoverride": (LimitOverride, "client_id", "client"),
}


def may(request: HttpRequest, verb: str, model: str) -> bool:
    """Return whether the user has a permission on a model; who may change may view."""
    verbs = ("view", "change") if verb == "view" else (verb,)
    return any(request.user.has_perm(f"apiguard.{each}_{model}") for each in verbs)


def row_url(request: HttpRequest, site: AdminSite, model: str, pk: Any) -> str:
    """Return the URL of the row's form; "" where this user may not view the row."""
    if pk is None or not may(request, "view", model):
        return ""
    try:
        return reverse(f"admin:apiguard_{model}_change", args=[pk], current_app=site.name)
    except NoReverseMatch:
        return ""


def form_urls(
    request: HttpRequest,
    site: AdminSite,
    places: Iterable[tuple[str, Any]],
    known: Mapping[tuple[str, Any], tuple[str, Any]] | None = None,
) -> dict[tuple[str, Any], str]:
    """Return for each (model, pk) the URL where it is edited; one query per kind of inline.

    Args:
        known: the rows inside whose forms some of them are edited.
    """
    wanted = list(places)
    parents = dict(known or {})
    for name, (model, column, parent) in EDITED_INSIDE.items():
        pks = [pk for kind, pk in wanted if kind == name and (kind, pk) not in parents]
        if pks:
            rows = model._default_manager.filter(pk__in=pks).values_list("pk", column)
            parents |= {(name, pk): (parent, parent_pk) for pk, parent_pk in rows}
    return {place: row_url(request, site, *parents.get(place, place)) for place in wanted}
