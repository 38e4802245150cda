"""System checks: what would go wrong in this project, before it does.

Errors (``apiguard.E0xx``) stop a deploy; warnings (``W0xx``) say what to look
at. No check reads the database: ``manage.py apiguard check`` does that.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from . import conf
from .models.state import write_alias

MIDDLEWARE = "apiguard.middleware.ApiGuardMiddleware"


def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """E001 wrong value, E002 unknown member of the APIGUARD dict."""
    try:
        given = conf.given()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="apiguard.E001")]
    _settings, errors = conf.parse(given, getattr(django_settings, "CACHES", {}))
    return [
        checks.Error(
            f"APIGUARD[{error.field!r}]: {error.reason}",
            hint=error.hint,
            id="apiguard.E002" if error.code == "unknown_setting" else "apiguard.E001",
        )
        for error in errors
    ]


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


def check_sqlite(**_: Any) -> list[checks.CheckMessage]:
    """W003 SQLite that locks readers and writers out."""
    options = django_settings.DATABASES.get(write_alias(), {})
    if not str(options.get("ENGINE", "")).endswith(".sqlite3"):
        return []
    given = options.get("OPTIONS", {})
    immediate = str(given.get("transaction_mode", "")).upper() == "IMMEDIATE"
    wal = "wal" in str(given.get("init_command", "")).lower()
    if immediate and wal:
        return []
    return [
        checks.Warning(
            "Policy is kept in SQLite without WAL and IMMEDIATE transactions: under load "
            "writers fail with 'database is locked'.",
            hint='OPTIONS = {"transaction_mode": "IMMEDIATE", '
            '"init_command": "PRAGMA journal_mode=WAL;"}',
            id="apiguard.W003",
        )
    ]


def check_deployment(**_: Any) -> list[checks.CheckMessage]:
    """W010 switched off, W011 no pepper, W012 never looks; only with ``check --deploy``."""
    try:
        settings = conf.current()
    except ImproperlyConfigured:
        return []  # E001 has said it.
    messages: list[checks.CheckMessage] = []
    if not settings.enabled:
        messages.append(
            checks.Warning(
                "APIGUARD['ENABLED'] is False: nothing is guarded.",
                hint="Remove it from the settings that are deployed.",
                id="apiguard.W010",
            )
        )
    if not settings.key_peppers:
        messages.append(
            checks.Warning(
                "APIGUARD['KEY_PEPPERS'] is empty: whoever can write to the database can "
                "make API keys.",
                hint='Set KEY_PEPPERS = {"2026": "<32 random bytes or more>"}.',
                id="apiguard.W011",
            )
        )
    if settings.policy_max_age is None:
        messages.append(
            checks.Warning(
                "APIGUARD['POLICY_MAX_AGE'] is None: a process that changes no policy itself "
                "never reads any, and guards nothing.",
                hint="Keep None for tests; write a number of seconds where requests are served.",
                id="apiguard.W012",
            )
        )
    return messages


def register_all() -> None:
    """Called once, when the apps are ready."""
    checks.register(check_settings, "apiguard")
    checks.register(check_middleware, "apiguard")
    checks.register(check_sqlite, "apiguard")
    checks.register(check_deployment, "apiguard", checks.Tags.security, deploy=True)
