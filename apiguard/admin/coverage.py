"""The page "Coverage": every URL pattern of the project, and the route that guards it."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import conf
from ..models import Route
from ..models.reach import covered_patterns
from ..models.state import write_alias
from ..policy.coverage import PatternCoverage, State, read_coverage
from .display import badge
from .row_links import may, row_url
from .site_pages import add_page

STATES = {
    State.UNGUARDED: (gettext_lazy("not guarded"), "bad"),
    State.PARTLY: (gettext_lazy("partly"), "warn"),
    State.GUARDED: (gettext_lazy("guarded"), "good"),
    State.EXEMPT: (gettext_lazy("exempt"), "quiet"),
}
PATTERNS_NAMED = 3


def add_to(site: AdminSite) -> None:
    """Add the page "apiguard/coverage/" to ``site``, unless ``site`` has it."""
    add_page(site, "coverage", coverage_view)


def coverage_view(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show all patterns, the unguarded first; one query."""
    if not may(request, "view", "route"):
        raise PermissionDenied
    request.current_app = site.name
    coverage = read_coverage()
    context = {
        **site.each_context(request),
        "title": _("Coverage"),
        "coverage": coverage,
        "enabled": conf.current().enabled,
        "total": 0 if coverage is None else len(coverage.patterns),
        "gaps": 0 if coverage is None else len(coverage.gaps),
        "rows": []
        if coverage is None
        else [_row(request, site, group) for group in coverage.folded()],
    }
    return TemplateResponse(request, "admin/apiguard/coverage.html", context)


def _row(
    request: HttpRequest, site: AdminSite, group: tuple[PatternCoverage, ...]
) -> dict[str, Any]:
    first = group[0]
    text, tone = STATES[first.state]
    is_folded = first.pattern.admin_site != "" and len(group) > 1
    return {
        "text": first.pattern.admin_site if is_folded else first.pattern.text,
        "folded": len(group) if is_folded else 0,
        "name": "" if is_folded else first.pattern.name,
        "view": "" if is_folded else first.pattern.view,
        "translations": first.translations,
        "badge": badge(str(text), tone),
        "route": _link(request, site, first.route),
        "switched_off": _link(request, site, first.switched_off),
        "longer": [_link(request, site, route) for route in first.longer],
    }


def _link(request: HttpRequest, site: AdminSite, route: Route | None) -> dict[str, Any] | None:
    if route is None:
        return None
    url = row_url(request, site, "route", route.pk)
    return {"row": route, "url": url, "mode": badge(route.mode)}


def covers(route: Route, site: AdminSite) -> SafeString | str:
    """Return how many URL patterns the prefix of ``route`` covers, for its form."""
    found = covered_patterns(route.path_prefix)
    if found is None:
        return _("The project's URLconf cannot be loaded.")
    identities = {pattern.identity: pattern for pattern in found}
    if not identities:
        return _nothing(route)
    # A longer prefix decides for the paths below it.
    others = Route.objects.using(write_alias()).exclude(mode=Route.Mode.OFF).exclude(pk=route.pk)
    prefixes = others.values_list("path_prefix", flat=True)
    longer = [prefix for prefix in prefixes if prefix.startswith(route.path_prefix)]
    texts = [pattern.text for pattern in identities.values()][:PATTERNS_NAMED]
    count = ngettext("%d URL pattern", "%d URL patterns", len(identities)) % len(identities)
    more = ", and more" if len(identities) > PATTERNS_NAMED else ""
    note = _("Longer prefixes decide for the paths below them: %s.") % ", ".join(longer[:5])
    return format_html(
        '{}: {}{}. {} <a href="{}">{}</a>',
        count,
        ", ".join(texts),
        more,
        note if longer else "",
        reverse("admin:apiguard_coverage", current_app=site.name),
        _("Coverage"),
    )


def _nothing(route: Route) -> SafeString | str:
    problems = [each for each in route.oddities() if each.code == "covers_no_url"]
    if not problems:
        return _("0 URL patterns; the prefix is that of static or uploaded files.")
    text = _("0 URL patterns: the route guards nothing.")
    return format_html(
        '<strong class="apiguard-alarm">{}</strong> {}', text, problems[0].hint or ""
    )
