"""Checks of the rows of policy, and of the database that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError

from ..models.state import write_alias
from ..policy import load
from ..policy.compile import compile_rows

MOST_PROBLEMS = 50
"""The number of problems that are reported one by one."""


def check_policy(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """W014 a row of policy has a problem; only where Django is asked to look at databases.

    No error: ``migrate`` runs these checks, and must not be stopped by a row.
    """
    if write_alias() not in (databases or ()):
        return []
    try:
        if not load.tables_exist():
            return []
        problems = compile_rows(load.rows(load.state())[1]).problems
    except (DatabaseError, load.PolicyMoved, ImproperlyConfigured):
        return []  # Columns that the next migration brings, nobody there to ask, or E001.
    return [
        checks.Warning(str(problem), hint=problem.error.hint or None, id="apiguard.W014")
        for problem in problems[:MOST_PROBLEMS]
    ]


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
