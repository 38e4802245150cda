"""The supported versions, each with the installed wheel in a fresh environment: scripts/matrix.

The tests run in a copy of the checkout without the package, so that they import what was
installed. What depends on chance, on a browser or on servers is left to scripts/test.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

CHECKOUT = Path(__file__).parent
# What the tests need besides the package.
COPIED = ("project", "tests", "benchmarks", "docs", "scripts")
COPIED_FILES = ("manage.py", "pyproject.toml", "README.md")
CORE = ("Django", "djangorestframework", "django-redis", "redis", "PyJWT", "publicsuffixlist")
LOWEST = (
    "Django==5.2.14",
    "djangorestframework==3.18.0",
    "django-redis==6.0.0",
    "redis==6.0.0",
    "PyJWT[crypto]==2.15.1",
    "publicsuffixlist==1.0.2.20260910",
)
CORNERS = {
    "lowest": ("3.11", LOWEST),
    "django-5.2": ("3.11", ("Django~=5.2.0",)),
    "django-6.0": ("3.12", ("Django~=6.0.0",)),
    "django-6.1": ("3.13", ("Django~=6.1.0",)),
}
TESTS = ("rules", "middleware", "rest_framework", "request", "models", "counters", "transfer")
CHOSEN = "not test_properties and not test_state_machine and not test_conformance and not fuzz"

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False


def corner(session: nox.Session, pins: tuple[str, ...]) -> None:
    """Install the wheel with these versions, and run the tests of what depends on them."""
    outside = Path(session.create_tmp()).resolve() / "outside"
    shutil.rmtree(outside, ignore_errors=True)
    outside.mkdir()
    for name in COPIED:
        shutil.copytree(CHECKOUT / name, outside / name)
    for name in COPIED_FILES:
        shutil.copy(CHECKOUT / name, outside / name)
    requirements = outside / "requirements.txt"
    named = {pin.partition("==")[0].partition("~=")[0].partition("[")[0] for pin in pins}
    lines = (CHECKOUT / "requirements.txt").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(tuple(CORE)) or _name(line) not in named]
    requirements.write_text("\n".join([*kept, *pins, ""]))
    session.install("-q", "build")
    session.run("python", "-m", "build", "-q", "--wheel", "--outdir", str(outside), str(CHECKOUT))
    (wheel,) = outside.glob("*.whl")
    session.install("-q", "-r", str(requirements), f"{wheel}[ninja,yaml]")
    session.chdir(outside)
    shown = (
        "import sys, django, apiguard; print(sys.version, django.__version__, apiguard.__file__)"
    )
    session.run("python", "-c", shown)
    session.run(
        *("python", "-m", "pytest", "-q", "-n", "auto", "-m", "not slow and not browser"),
        *("-k", CHOSEN, *(f"tests/{name}" for name in TESTS), *session.posargs),
        env={"PYTHONPATH": str(outside)},
    )


def _name(line: str) -> str:
    return line.partition("==")[0].partition("[")[0]


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """The lowest version of every dependency."""
    corner(session, CORNERS["lowest"][1])


@nox.session(python="3.11", name="django-5.2")
def django_52(session: nox.Session) -> None:
    """The long-term support release."""
    corner(session, CORNERS["django-5.2"][1])


@nox.session(python="3.12", name="django-6.0")
def django_60(session: nox.Session) -> None:
    """Django 6.0."""
    corner(session, CORNERS["django-6.0"][1])


@nox.session(python="3.13", name="django-6.1")
def django_61(session: nox.Session) -> None:
    """The newest release."""
    corner(session, CORNERS["django-6.1"][1])
