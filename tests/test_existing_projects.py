"""Four projects that were there before apiguard, each with tests of its own: they stay green.

Each suite runs in a process of its own: untouched, with the README's lines and no route,
observed, and enforced with ``baseline --access application``. A table at the end of the
run says what came of it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.fresh_project import CHECKOUT, blocks_of
from tests.servers import python_path

EXISTING = Path(__file__).parent / "existing"
MODES = ("untouched", "no route", "observe", "enforce")

SETTINGS = """
from {project}.settings import *
import sys
sys.path.insert(0, {folder!r})
{readme}
INSTALLED_APPS = [*INSTALLED_APPS, *{route_apps!r}]
"""
# A route in the test database, as docs/testing.md says.
MIGRATION = """
from django.db import migrations
from apiguard.transfer.baseline import write_baseline

def write(apps, schema_editor):
    for prefix in {prefixes!r}:
        assert write_baseline(prefix, enforce={enforce!r}, access="application")

class Migration(migrations.Migration):
    dependencies = [("apiguard", {latest!r})]
    operations = [migrations.RunPython(write)]
"""


class Project(NamedTuple):
    """A project of another kind; DRF or not, and where its API lies."""

    has_drf: bool
    prefixes: tuple[str, ...]
    tests: int


PROJECTS = {
    "own_keys": Project(False, ("/api/",), 32),
    "own_tokens": Project(True, ("/backend/api/",), 33),
    "own_jwt": Project(True, ("/en/api/", "/de/api/"), 31),
    "own_sessions": Project(True, ("/api/",), 32),
}


class Result(NamedTuple):
    """What a suite came to."""

    ran: int
    failed: int
    output: str


def write_settings(folder: Path, name: str, mode: str) -> str:
    """Write the settings of a project in one mode; return the module's name."""
    if mode == "untouched":
        return f"{name}.settings"
    project = PROJECTS[name]
    readme = blocks_of("README.md", "python")[: 2 if project.has_drf else 1]
    route_apps = [] if mode == "no route" else ["guarded_route"]
    module = folder / "guarded_settings.py"
    module.write_text(
        SETTINGS.format(
            project=name, folder=str(folder), readme="\n".join(readme), route_apps=route_apps
        )
    )
    migrations = folder / "guarded_route" / "migrations"
    migrations.mkdir(parents=True)
    for package in (migrations, migrations.parent):
        (package / "__init__.py").touch()
    latest = max(path.stem for path in (CHECKOUT / "apiguard/migrations").glob("0*.py"))
    text = MIGRATION.format(prefixes=project.prefixes, enforce=mode == "enforce", latest=latest)
    (migrations / "0001_route.py").write_text(text)
    return "guarded_settings"


def run(folder: Path, name: str, mode: str, *command: str) -> Result:
    """Run a suite in a process of its own."""
    settings = write_settings(folder, name, mode)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "DJANGO_SETTINGS_MODULE": settings,
        "PYTHONPATH": python_path(folder, EXISTING),
        "APIGUARD_PEPPER": "p" * 40,
    }
    done = subprocess.run(
        [sys.executable, "-m", *(command or ("django", "test", name))],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    output = done.stdout + done.stderr
    ran = re.search(r"Ran (\d+) tests?", output) or re.search(r"(\d+) passed", output)
    failed = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d+)", output))
    failed += sum(int(number) for number in re.findall(r"(\d+) (?:failed|errors?)\b", output))
    if done.returncode and not failed:
        failed = -1  # It did not begin.
    return Result(int(ran[1]) if ran else 0, failed, output)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PROJECTS)
def test_an_existing_suite_goes_on_as_before(name, mode, tmp_path, record_property):
    result = run(tmp_path, name, mode)
    record_property("existing_projects", (name, mode, result.ran, result.failed))
    assert (result.ran, result.failed) == (PROJECTS[name].tests, 0), result.output


@pytest.mark.slow
def test_under_pytest(tmp_path):
    tests = str(EXISTING / "own_sessions" / "tests.py")
    plugins = ("-p", "apiguard.pytest_plugin", "-p", "no:cacheprovider")
    options = (
        "--noconftest",
        "--rootdir",
        str(EXISTING),
        "-c",
        os.devnull,
        "-q",
        *plugins,
        "-W",
        "default",
    )
    result = run(tmp_path, "own_sessions", "enforce", "pytest", *options, tests)
    assert (result.ran, result.failed) == (PROJECTS["own_sessions"].tests, 0), result.output


@pytest.mark.slow
def test_in_parallel(tmp_path):
    command = ("django", "test", "--parallel", "2", "own_tokens")
    result = run(tmp_path, "own_tokens", "enforce", *command)
    assert (result.ran, result.failed) == (PROJECTS["own_tokens"].tests, 0), result.output
