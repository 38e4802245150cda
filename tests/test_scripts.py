"""What ``scripts/test`` makes of its arguments."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.servers import CHECKOUT

SHARED = ["-n", "auto"]


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one test, whose Python says what it is given."""
    shutil.copytree(CHECKOUT / "scripts", tmp_path / "scripts")
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_one.py").write_text("")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    python.chmod(0o755)
    (tmp_path / ".venv" / "installed-requirements.txt").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "added"),
    [
        pytest.param([], SHARED, id="nothing"),
        pytest.param(["-x", "-m", "not slow"], SHARED, id="options"),
        pytest.param(["-n", "4"], SHARED, id="a number of processes, which comes later and counts"),
        pytest.param(["tests/test_one.py"], [], id="a file"),
        pytest.param(["-v", "tests/test_one.py::test_it[a b]"], [], id="a test"),
        pytest.param(["tests"], [], id="a folder"),
        pytest.param(["-p", "no:xdist"], [], id="without processes"),
    ],
)
def test_all_tests_are_shared_by_processes_and_what_is_named_is_run_by_one(checkout, typed, added):
    command = [checkout / "scripts" / "test", *typed]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout
    assert said.splitlines() == ["-m", "pytest", *added, *typed]
