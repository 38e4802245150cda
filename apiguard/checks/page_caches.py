"""Checks of the caches in which Django may store pages; see ``apiguard.caching``."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.middleware.cache import FetchFromCacheMiddleware, UpdateCacheMiddleware
from django.utils.module_loading import import_string

from .. import caching
from .counter import counter_alias
from .middleware import MIDDLEWARE

DUMMY = "django.core.cache.backends.dummy.DummyCache"
CACHE_MIDDLEWARE = (UpdateCacheMiddleware, FetchFromCacheMiddleware)


def check_page_cache(**_: Any) -> list[checks.CheckMessage]:
    """E003 Django's cache middleware gives one caller's page to another."""
    alias = django_settings.CACHE_MIDDLEWARE_ALIAS
    if not _caches_inside_the_guard() or not _mixes_callers(alias):
        return []
    return [
        checks.Error(
            f"Django's cache middleware stores pages in CACHES[{alias!r}] under their URL alone: "
            "one client gets the page of another.",
            hint=f'CACHES[{alias!r}]["KEY_FUNCTION"] = "{caching.PATH}"',
            id="apiguard.E003",
        )
    ]


def check_other_page_caches(**_: Any) -> list[checks.CheckMessage]:
    """W016 ``cache_page`` would give one caller's page to another; ``--deploy`` only."""
    reported = {message.hint for message in check_page_cache()}
    hints = {
        alias: f'CACHES[{alias!r}]["KEY_FUNCTION"] = "{caching.PATH}"'
        for alias in django_settings.CACHES
        if alias != counter_alias() and _mixes_callers(alias)
    }
    return [
        checks.Warning(
            f"A page that cache_page stores in CACHES[{alias!r}] is not kept apart by caller: "
            "one client would get the page of another.",
            hint=hint,
            id="apiguard.W016",
        )
        for alias, hint in hints.items()
        if hint not in reported
    ]


def _caches_inside_the_guard() -> bool:
    installed = list(getattr(django_settings, "MIDDLEWARE", ()))
    if MIDDLEWARE not in installed:
        return False
    inside = installed[installed.index(MIDDLEWARE) :]
    return any(_is_cache_middleware(path) for path in inside)


def _is_cache_middleware(path: str) -> bool:
    try:
        middleware = import_string(path)
    except ImportError:
        return False  # Django reports it.
    return isinstance(middleware, type) and issubclass(middleware, CACHE_MIDDLEWARE)


def _mixes_callers(alias: str) -> bool:
    """Whether a cache gives the same key to one page of two callers."""
    if django_settings.CACHES.get(alias, {}).get("BACKEND", DUMMY) == DUMMY:
        return False
    try:
        return not caching.keeps_callers_apart(alias)
    except (ImproperlyConfigured, ImportError):
        return True
