"""Checks of the ``APIGUARD`` dict, and of Django's settings that belong to it."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from .. import conf


def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """E001 wrong value, E002 unknown member of the APIGUARD dict."""
    try:
        given = conf.given()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="apiguard.E001")]
    _settings, errors = conf.parse(
        given, getattr(django_settings, "CACHES", {}), debug=bool(django_settings.DEBUG)
    )
    return [
        checks.Error(
            f"APIGUARD[{error.field!r}]: {error.reason}",
            hint=error.hint,
            id="apiguard.E002" if error.code == "unknown_setting" else "apiguard.E001",
        )
        for error in errors
    ]


def check_forms_behind_tls(**_: Any) -> list[checks.CheckMessage]:
    """W015 a proxy is trusted, and Django does not know that requests are secure."""
    try:
        proxied = conf.current().trusted_proxies or conf.current().trust_unix
    except ImproperlyConfigured:
        return []  # E001 reports it.
    knows = django_settings.SECURE_PROXY_SSL_HEADER or django_settings.CSRF_TRUSTED_ORIGINS
    if not proxied or knows:
        return []
    return [
        checks.Warning(
            "TRUSTED_PROXIES is set, but neither SECURE_PROXY_SSL_HEADER nor "
            "CSRF_TRUSTED_ORIGINS. If the proxy ends TLS, Django takes requests for plain http "
            "and refuses forms, the admin's sign-in included (403, CSRF).",
            hint='Set SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if the proxy '
            'always sets this header, and CSRF_TRUSTED_ORIGINS = ["https://your-host"].',
            id="apiguard.W015",
        )
    ]


_AS_IN_TESTS = checks.Warning(
    "APIGUARD['TESTING'] is True: limits are counted in the memory of each process, "
    "and policy that another process changes is not in force here.",
    hint="Set it in the settings of tests only.",
    id="apiguard.W019",
)
_IN_MEMORY = checks.Warning(
    "Limits are counted in the memory of each process: N workers admit up to N "
    "times the amount, and forget it when they restart.",
    hint="Add a django-redis cache named 'apiguard' to CACHES.",
    id="apiguard.W006",
)
_SWITCHED_OFF = checks.Warning(
    "APIGUARD['ENABLED'] is False: nothing is guarded.",
    hint="Remove it from the settings that are deployed.",
    id="apiguard.W010",
)
_NO_PEPPER = checks.Warning(
    "APIGUARD['KEY_PEPPERS'] is empty: anybody who can write to the database can make API keys.",
    hint='Set KEY_PEPPERS = {"2026": "<32 random bytes or more>"}.',
    id="apiguard.W011",
)
_NO_REFRESH = checks.Warning(
    "APIGUARD['POLICY_MAX_AGE'] is None: a process that changes no policy itself "
    "never reads any, and guards nothing.",
    hint="Keep None for tests; write a number of seconds where requests are served.",
    id="apiguard.W012",
)


def check_deployment(**_: Any) -> list[checks.CheckMessage]:
    """W006 counts in memory, W010 off, W011 no pepper, W012 no refresh, W019 as in tests."""
    try:
        settings = conf.current()
    except ImproperlyConfigured:
        return []  # E001 reports it.
    if settings.testing and conf.given().get("TESTING"):
        return [_AS_IN_TESTS]
    found = (
        (settings.counter == "memory" and not django_settings.DEBUG, _IN_MEMORY),
        (not settings.enabled, _SWITCHED_OFF),
        (not settings.key_peppers, _NO_PEPPER),
        (settings.policy_max_age is None, _NO_REFRESH),
    )
    return [warning for applies, warning in found if applies]
