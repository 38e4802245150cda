"""Checks of packages that callers without a user row disturb; see docs/neighbours.md."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core import checks

HISTORY = {
    "simple_history.middleware.HistoryRequestMiddleware": (
        "django-simple-history",
        "a change that an API key or token makes fails (500)",
    ),
    "reversion.middleware.RevisionMiddleware": (
        "django-reversion",
        "a change that an API key or token makes fails (500)",
    ),
    "auditlog.middleware.AuditlogMiddleware": (
        "django-auditlog",
        "the actor is missing in changes that an API key or token makes",
    ),
}
"""The middleware of each package, its name, and what happens without the recipe."""


def check_history(**_: Any) -> list[checks.CheckMessage]:
    """W020 a package stores ``request.user`` with each change, and callers may have no row."""
    return [
        checks.Warning(
            f"{package} stores request.user with each change, which must be a row of the user "
            f"table. On credentials routes {consequence}, unless the client acts as its owner "
            "or the issuer has a user field.",
            hint=f"Replace {path!r} in MIDDLEWARE by the middleware of docs/neighbours.md, "
            "or silence this if every credential has a user row.",
            id="apiguard.W020",
        )
        for path, (package, consequence) in HISTORY.items()
        if path in getattr(django_settings, "MIDDLEWARE", ())
    ]
