"""The wheel is what people install, so the wheel is what is looked into."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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


def test_the_requirements_pin_every_direct_dependency():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [line.split("#")[0].strip() for line in lines]
    assert [line for line in wanted if line and "==" not in line] == []


def test_nobody_is_told_to_install_what_is_not_pinned():
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
