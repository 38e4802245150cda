"""Whether this process runs tests of the project, and which test is running.

While it does, apiguard starts no thread, writes nothing of its own, counts in memory
and from zero in each test. The setting ``TESTING`` decides; without it, this module.

``PYTEST_VERSION`` and ``sys.argv`` prove nothing: child processes inherit the first, and
any program may set the second. Nothing here imports Django before a project has.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Connection(Protocol):
    """What is used of a database connection of Django's."""

    force_debug_cursor: bool
    savepoint_ids: list[str]


class _Plugin:
    """Whether apiguard's plugin of pytest is loaded."""

    is_loaded = False


def note_plugin() -> None:
    """Note that pytest runs in this process; called by apiguard's plugin."""
    _Plugin.is_loaded = True


def is_detected() -> bool:
    """Whether a test runner runs in this process, live servers and threads included.

    ``setup_test_environment()``, which every runner calls, replaces the method that
    renders templates. Django has no public sign of it: ``mail.outbox`` stays behind, and
    importing ``django.test.Client`` alone is no test run.
    """
    if _Plugin.is_loaded:
        return True
    tests, templates = sys.modules.get("django.test.utils"), sys.modules.get("django.template")
    if tests is None or templates is None:
        return False
    return templates.Template._render is tests.instrumented_test_render


def current_test(connection: Connection) -> str | None:
    """Return what differs between two tests in one transaction; ``None`` outside of one.

    ``TestCase`` opens a transaction for the class and a savepoint for each test. Only the
    list of savepoints tells tests apart; their names are not used twice.
    """
    savepoints = connection.savepoint_ids
    return savepoints[0] if savepoints else None


@contextmanager
def unrecorded(connection: Connection) -> Iterator[None]:
    """Keep queries out of ``assertNumQueries``: they are none of the project's."""
    before, connection.force_debug_cursor = connection.force_debug_cursor, False
    try:
        yield
    finally:
        connection.force_debug_cursor = before
