"""Checks of the rows of policy, and of the database that holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError

from ..models import Limit, Route
from ..models.state import write_alias
from ..policy import load
from ..policy.compile import compile_rows
from ..rules.rates import REQUESTS
from .middleware import MIDDLEWARE

MOST_PROBLEMS = 50
"""The number of problems that are reported one by one."""


def check_policy(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """W014 a problem of a row, W021 an odd route, W025 a limit that needs the middleware.

    With databases only.

    No error: ``migrate`` runs these checks, and must not be stopped by a row.
    """
    if write_alias() not in (databases or ()):
        return []
    try:
        if not load.tables_exist():
            return []
        rows = load.rows(load.state())[1]
        problems = compile_rows(rows).problems
    except (DatabaseError, load.PolicyMoved, ImproperlyConfigured):
        return []  # Columns that the next migration brings, nobody there to ask, or E001.
    return [
        *(
            checks.Warning(str(problem), hint=problem.error.hint or None, id="apiguard.W014")
            for problem in problems[:MOST_PROBLEMS]
        ),
        *_odd_routes(rows.routes),
        *_limits_without_middleware(rows.limits),
    ]


def _odd_routes(routes: Sequence[Route]) -> Iterator[checks.CheckMessage]:
    """Yield W021 for what is enforced as it stands, but can hardly be meant."""
    for route in routes[:MOST_PROBLEMS]:
        if route.mode != Route.Mode.OFF and not route.problems():
            for oddity in route.oddities():
                yield checks.Warning(
                    f"Route {route.name!r}: {oddity.reason}",
                    hint=oddity.hint or None,
                    id="apiguard.W021",
                )


def _limits_without_middleware(limits: Sequence[Limit]) -> Iterator[checks.CheckMessage]:
    """Yield W025 where nothing tells when a request has ended."""
    if MIDDLEWARE in getattr(django_settings, "MIDDLEWARE", ()):
        return
    held = [
        limit.name
        for limit in limits
        if limit.unit != REQUESTS or limit.kind == limit.Kind.CONCURRENT
    ]
    if held:
        yield checks.Warning(
            f"Limits need the middleware, which is not installed: {', '.join(held[:10])}. Without "
            "it requests in flight are not limited, and a view that is refused more units "
            "answers 500.",
            hint=f"Put {MIDDLEWARE!r} first in MIDDLEWARE.",
            id="apiguard.W025",
        )


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
