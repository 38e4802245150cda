"""The wheel is what people install, so the wheel is what is looked into."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.test_docs import documented_names

ROOT = Path(__file__).resolve().parent.parent
# A small project that is typed throughout: what people write who use apiguard.
TYPED = Path(__file__).with_name("typed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"]
    subprocess.run(
        [*command, "--no-build-isolation", "--wheel-dir", folder, ROOT],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_every_file_of_the_app_is_in_the_wheel(wheel):
    files = (path for path in (ROOT / "apiguard").rglob("*") if path.is_file())
    shipped = {
        path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts
    }
    assert shipped - set(wheel.namelist()) == set()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("apiguard/py.typed", id="its types are announced"),
        pytest.param("apiguard/counters/window.lua", id="the script of the counters"),
        pytest.param("apiguard/counters/reset.lua", id="the script that counts from zero"),
        pytest.param("apiguard/migrations/0001_initial.py", id="the first migration"),
        pytest.param("apiguard/management/commands/apiguard.py", id="the command"),
    ],
)
def test_what_is_not_imported_is_in_the_wheel_too(wheel, name):
    assert name in wheel.namelist()


def test_nothing_but_the_app_is_in_the_wheel(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"apiguard"}


def test_the_wheel_carries_its_licence(wheel, metadata):
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert [name for name in wheel.namelist() if name.endswith("/licenses/LICENSE")]


def test_the_wheel_says_what_it_needs(metadata):
    assert metadata["Name"] == "apiguard-django"
    assert metadata["Requires-Python"] == ">=3.11"
    needed = " ".join(metadata.get_all("Requires-Dist")).lower()
    for name in ("django<", "djangorestframework", "pyjwt[crypto]", "django-redis[hiredis]"):
        assert name in needed


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of an environment that has the wheel, and borrows all other packages."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    wheel.extractall(packages)
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return python


@pytest.mark.slow
def test_a_strictly_typed_project_finds_no_mistake_in_any_public_name(installed, tmp_path):
    shutil.copytree(TYPED, tmp_path / "typed")
    done = subprocess.run(
        [installed, "-m", "mypy", "--no-error-summary", "."],
        cwd=tmp_path / "typed",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "typed")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_the_typed_project_uses_every_public_name():
    text = "\n".join(path.read_text() for path in (TYPED / "shop").glob("*.py"))
    used = {
        f"{node.module}.{name.name}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    signals = {f"apiguard.{name}" for name in re.findall(r"signals\.\w+", text)}
    assert documented_names() - used - signals == set()


def test_the_requirements_pin_every_direct_dependency():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [line.split("#")[0].strip() for line in lines]
    assert [line for line in wanted if line and "==" not in line] == []


def test_the_requirements_of_developers_include_the_pinned_ones():
    dev = (ROOT / "requirements-dev.txt").read_text()
    assert "-r requirements.txt" in dev


def test_the_scripts_can_be_run():
    scripts = [
        ROOT / ".ci" / "run",
        *(ROOT / "scripts" / name for name in ("demo", "test", "check")),
    ]
    assert [path for path in scripts if not path.stat().st_mode & 0o100] == []


def test_the_shell_scripts_parse():
    for script in (ROOT / "scripts").iterdir():
        subprocess.run(["sh", "-n", script], check=True)


def test_the_secrets_of_a_demo_are_never_committed():
    assert ".env.demo" in Path(ROOT / ".gitignore").read_text().splitlines()
