"""What the scripts make of their arguments, and of the machine."""

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


@pytest.fixture
def newest(checkout):
    """The same, with a newest Python whose environment prints what it is given."""
    python = checkout / ".venv-newest" / "bin" / "python"
    python.parent.mkdir(parents=True)
    shutil.copy(checkout / ".venv" / "bin" / "python", python)
    pinned = checkout / ".venv-newest" / "installed-requirements-newest.txt"
    pinned.write_text("Django==6.1.3 # why\nredis==8\n")
    (checkout / "requirements.txt").write_text("Django==5.2.19 # why\nredis==8\n")
    found = checkout / "home" / ".pyenv" / "versions" / "3.13.0" / "bin" / "python"
    found.parent.mkdir(parents=True)
    found.symlink_to("/bin/true")
    return checkout


def run_newest(checkout, home, *typed):
    return subprocess.run(
        [checkout / "scripts" / "newest", *typed],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "HOME": str(home)},
    ).stdout.splitlines()


def test_the_newest_corner_changes_django_alone_and_runs_what_is_named(newest):
    printed = run_newest(newest, newest / "home", "tests/test_one.py")
    assert printed[-5:] == ["-m", "pytest", "-n", "auto", "tests/test_one.py"]
    assert "tests/middleware" in run_newest(newest, newest / "home")


def test_a_machine_without_the_newest_python_is_named(newest):
    assert run_newest(newest, newest) == ["Left out: there is no Python 3.13 here."]
