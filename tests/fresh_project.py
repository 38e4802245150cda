"""A project made by ``django-admin startproject``, into which apiguard is installed.

It has sessions, CSRF, tokens and tests of its own (``tests/existing``). It is
changed by exactly the settings that README.md shows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import python_path

CHECKOUT = Path(__file__).resolve().parent.parent
EXISTING = Path(__file__).parent / "existing"
REDIS_OF_THE_README = "redis://127.0.0.1:6379/5"

FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of every fenced block of a page."""
    for found in FENCE.finditer(page.read_text()):
        yield found[2], textwrap.dedent(found[3])


def blocks_of(page: str, language: str) -> list[str]:
    """The blocks of one language, in their order."""
    return [text for kind, text in blocks(CHECKOUT / page) if kind == language]


@dataclass(frozen=True, slots=True)
class FreshProject:
    """A folder with ``manage.py``, and the environment of its commands."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        """The environment of a process of this project."""
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "PYTHONPATH": python_path(self.root),
            **self.environment,
        }

    def python(self, *arguments: str, stdin: str = "") -> str:
        """Run Python in the project and return what it printed, on both streams.

        Raises:
            AssertionError: the exit status is not 0.
        """
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=self.variables(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def manage(self, *arguments: str) -> str:
        """Run ``manage.py``."""
        return self.python("manage.py", *arguments)

    def add_settings(self, text: str) -> None:
        """Append to the settings."""
        path = self.root / "shop" / "settings.py"
        path.write_text(f"{path.read_text()}\n{text}\n")


def make_project(root: Path, **environment: str) -> FreshProject:
    """Make the project as it is before apiguard is installed."""
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "shop", str(root)],
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
    )
    for part in ("urls", "views", "tests"):
        (root / "shop" / f"{part}.py").write_text((EXISTING / f"shop_{part}.py").read_text())
    made = FreshProject(root, {"APIGUARD_PEPPER": "p" * 40, **environment})
    made.add_settings('INSTALLED_APPS += ["rest_framework"]\nALLOWED_HOSTS = ["*"]')
    return made


def follow_the_readme(project: FreshProject, redis_url: str) -> None:
    """Add the settings that README.md shows."""
    settings, drf = blocks_of("README.md", "python")
    assert REDIS_OF_THE_README in settings
    project.add_settings(settings.replace(REDIS_OF_THE_README, redis_url))
    project.add_settings(drf)
