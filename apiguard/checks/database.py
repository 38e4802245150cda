"""Checks of the rows of policy, and of the database that holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError

from ..models import Route
from ..models.state import write_alias
from ..policy import load
from ..policy.compile import compile_rows

MOST_PROBLEMS = 50
"""The number of problems that are reported one by one."""


def check_policy(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """W014 a row of policy has a problem, W021 a route can hardly be meant; with databases only.

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
