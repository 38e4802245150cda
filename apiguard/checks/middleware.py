"""Checks of ``MIDDLEWARE`` and ``INSTALLED_APPS``."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core import checks

MIDDLEWARE = "apiguard.middleware.ApiGuardMiddleware"


def check_middleware(**_: Any) -> list[checks.CheckMessage]:
    """W001 the middleware is missing, W002 it is not the first."""
    installed = list(getattr(django_settings, "MIDDLEWARE", ()))
    if MIDDLEWARE not in installed:
        return [
            checks.Warning(
                "apiguard's middleware is not installed: CORS, request rules, response "
                "headers and Django's own errors are not covered.",
                hint=f"Put {MIDDLEWARE!r} first in MIDDLEWARE.",
                id="apiguard.W001",
            )
        ]
    if installed[0] != MIDDLEWARE:
        return [
            checks.Warning(
                "apiguard's middleware is not the first: what stands before it runs unguarded, "
                "and its responses lack the route's headers.",
                hint=f"Move {MIDDLEWARE!r} to the top of MIDDLEWARE.",
                id="apiguard.W002",
            )
        ]
    return []


def check_corsheaders(**_: Any) -> list[checks.CheckMessage]:
    """W013 django-cors-headers is installed too."""
    apps = [str(app).partition(".")[0] for app in getattr(django_settings, "INSTALLED_APPS", ())]
    middleware = [str(path) for path in getattr(django_settings, "MIDDLEWARE", ())]
    found = "corsheaders" in apps or any(path.startswith("corsheaders.") for path in middleware)
    if not found:
        return []
    return [
        checks.Warning(
            "django-cors-headers is installed too. On routes with a CORS policy apiguard "
            "decides alone and its headers are removed; on all others it goes on deciding.",
            hint="When every route has moved over (manage.py apiguard import-corsheaders), "
            "remove 'corsheaders' from INSTALLED_APPS and MIDDLEWARE.",
            id="apiguard.W013",
        )
    ]
