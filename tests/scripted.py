"""Runs modules of the tests as processes of their own, against a database of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.servers import CHECKOUT, clean_environment, manage


def settings_on(database_url: str) -> dict[str, str]:
    """The environment of a process that uses the tests' settings and this database."""
    return {"TEST_DATABASE_URL": database_url, "DJANGO_SETTINGS_MODULE": "project.settings_test"}


def migrate(database_url: str) -> None:
    """Make all tables in an empty database."""
    done = manage("migrate", "-v0", env=settings_on(database_url))
    assert done.returncode == 0, done.stderr


def said_by(module: str, settings: Mapping[str, str], *arguments: str) -> Any:
    """What ``module`` prints last, as JSON; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=CHECKOUT,
        env=clean_environment(dict(settings)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
