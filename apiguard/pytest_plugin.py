"""A plugin of pytest that loads by itself: counts of limits start from zero in each test.

pytest loads it before any settings are chosen, so nothing here imports them.
"""

from __future__ import annotations

import sys

import pytest

from . import test_run


def pytest_configure() -> None:
    """Have apiguard know that tests run, whether pytest-django is installed or not."""
    test_run.note_plugin()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Start counting from zero, where the project uses apiguard and has counted before."""
    if "apiguard.counters.factory" not in sys.modules:
        return
    from .testing import reset_counters

    reset_counters()
