"""Checks of what apiguard does not reach: WebSockets, admin sites without its pages, URLs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.urls import URLPattern, URLResolver, get_resolver

from .. import conf
from ..models.reach import has_channels
from ..models.state import write_alias
from ..policy import load
from ..policy.coverage import read_coverage

MOST_GAPS = 10
"""The number of unguarded patterns that one message names."""

A_PAGE = "apiguard_route_changelist"
"""The name of a URL pattern that an admin site has once apiguard is registered on it."""


def check_websockets(**_: Any) -> list[checks.CheckMessage]:
    """W022 Channels is installed, and apiguard does not guard WebSockets; ``--deploy`` only."""
    if not has_channels():
        return []
    return [
        checks.Warning(
            "Channels is installed. WebSockets do not pass through Django's middleware, so no "
            "route guards them, whatever its prefix.",
            hint="Wrap the application in "
            "channels.security.websocket.AllowedHostsOriginValidator and check credentials in "
            "the consumer.",
            id="apiguard.W022",
        )
    ]


def check_admin(**_: Any) -> list[checks.CheckMessage]:
    """W023 no admin site that the project serves has apiguard's pages."""
    try:
        wanted = conf.current().admin
        sites = list(_admin_sites(get_resolver())) if _serves_urls() else []
    except (ImproperlyConfigured, ImportError):
        return []  # E001, or Django, reports it.
    if not wanted or any(A_PAGE in _names(site) for site in sites):
        return []
    if sites:
        reason = "No admin site that the URLconf serves has apiguard's pages."
        hint = (
            "In the URLconf, before the site's urls are used: "
            "from apiguard.admin import register; register(your_site)"
        )
    else:
        reason = "The URLconf serves no admin site, so policy cannot be edited in the admin."
        hint = (
            "Serve django.contrib.admin, or use the commands (manage.py apiguard baseline, "
            "route set, client create, key create) and set APIGUARD['ADMIN'] = False."
        )
    return [checks.Warning(reason, hint=hint, id="apiguard.W023")]


def check_coverage(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """E004 a URL pattern has paths that no route guards; with databases only.

    Not registered: most projects leave pages unguarded on purpose. One that wants no
    gap registers it.
    """
    if write_alias() not in (databases or ()):
        return []
    try:
        coverage = read_coverage() if load.tables_exist() else None
    except (DatabaseError, ImproperlyConfigured):
        return []  # The next migration brings columns, the database does not answer, or E001.
    gaps = [] if coverage is None else coverage.gaps
    if not gaps:
        return []
    texts = [gap.pattern.text for gap in gaps]
    left_out = f" and {len(texts) - MOST_GAPS} more" if len(texts) > MOST_GAPS else ""
    return [
        checks.Error(
            "URL patterns have paths that no route guards: "
            f"{', '.join(texts[:MOST_GAPS])}{left_out}.",
            hint="Add routes, or name the paths in APIGUARD['EXEMPT_PATHS']. "
            "manage.py apiguard coverage lists all patterns.",
            id="apiguard.E004",
        )
    ]


def _serves_urls() -> bool:
    return bool(getattr(django_settings, "ROOT_URLCONF", None)) and apps.ready


def _admin_sites(resolver: URLResolver) -> Iterator[URLResolver]:
    for child in resolver.url_patterns:
        if isinstance(child, URLResolver):
            if child.app_name == "admin":
                yield child
            else:
                yield from _admin_sites(child)


def _names(resolver: URLResolver) -> Iterator[str | None]:
    for child in resolver.url_patterns:
        if isinstance(child, URLPattern):
            yield child.name
        else:
            yield from _names(child)
