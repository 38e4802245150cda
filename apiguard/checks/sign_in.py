"""Checks of the backend that limits sign-ins."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from .. import conf

BACKEND = "apiguard.auth.SignInLimitBackend"


def check_sign_in(**_: Any) -> list[checks.CheckMessage]:
    """W024 ``SIGN_IN_TIER`` and the backend do not go together."""
    backends = list(getattr(django_settings, "AUTHENTICATION_BACKENDS", ()))
    try:
        tier = conf.current().sign_in_tier
    except ImproperlyConfigured:
        return []  # E001 says why.
    if tier is None and BACKEND not in backends:
        return []
    if tier is None:
        text, hint = "sign-ins are not limited", "Name a tier in APIGUARD['SIGN_IN_TIER']."
        return [_warning(f"{BACKEND} is installed without SIGN_IN_TIER: {text}.", hint)]
    if backends[:1] != [BACKEND]:
        where = "is not the first backend" if BACKEND in backends else "is not installed"
        hint = f"Put {BACKEND!r} first in AUTHENTICATION_BACKENDS."
        return [_warning(f"SIGN_IN_TIER is set, but {BACKEND} {where}.", hint)]
    return []


def _warning(text: str, hint: str) -> checks.CheckMessage:
    return checks.Warning(text, hint=hint, id="apiguard.W024")
