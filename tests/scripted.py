"""Runs modules of the tests as processes of their own, against a database of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.servers import CHECKOUT, clean_environment

MIGRATE = ("manage.py", "migrate", "-v0")


def said_by(module: str, settings: Mapping[str, str], *before: Sequence[str]) -> Any:
    """What ``module`` prints last, as JSON, after ``before`` were run; all of them must succeed."""
    environment = clean_environment(dict(settings))
    for command in (*before, ("-m", module)):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
