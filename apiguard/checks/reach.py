"""Checks of what apiguard does not reach: WebSockets, and admin sites without its pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, URLResolver, get_resolver

from .. import conf
from ..models.reach import has_channels

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
