"""docs/tutorial.md, followed to the letter in an empty folder: files, commands, answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fresh_project import CHECKOUT, FENCE
from tests.servers import free_port, python_path

PAGE = CHECKOUT / "docs" / "tutorial.md"
# The tests run in an environment that is installed already.
INSTALLING = ("python -m venv ", ". .venv/", "pip install ")
CHOICES = {
    "DJANGO_SUPERUSER_USERNAME": "admin",
    "DJANGO_SUPERUSER_PASSWORD": "a long pass phrase",
    "DJANGO_SUPERUSER_EMAIL": "admin@example.com",
}
SERVE = """python manage.py runserver --noreload {port} >server.log 2>&1 &
trap 'kill $!' EXIT
for attempt in $(seq 100); do
    curl -s -o /dev/null http://127.0.0.1:{port}/ && break
    sleep 0.2
done"""


def steps() -> Iterator[tuple[str, str, str]]:
    """Each block of the page: language, text, and the paragraph before it."""
    page = PAGE.read_text()
    for found in FENCE.finditer(page):
        yield found[2], found[3], page[: found.start()].rstrip().rpartition("\n\n")[2]


def script(port: int) -> str:
    """The page as one script, which prints a line before each block."""
    lines = ["set -e"]
    for number, (language, text, before) in enumerate(steps()):
        lines.append(f"echo; echo @@{number}")
        if language == "python":
            path = re.findall(r"`(shop/\w+\.py)`", before)[-1]
            arrow = ">>" if "end of" in before else ">"
            lines.append(f"cat {arrow} {path} <<'END OF FILE'\n{text}END OF FILE")
        if language == "sh":
            lines += [_line(line, port) for line in text.splitlines()]
    return "\n".join(lines)


def _line(line: str, port: int) -> str:
    if line.startswith(INSTALLING):
        return f"# {line}"
    if line == "python manage.py createsuperuser":
        return f"{line} --noinput"
    if line == "python manage.py runserver":
        return SERVE.format(port=port)
    return line.replace("127.0.0.1:8000", f"127.0.0.1:{port}")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each block printed."""
    folder: Path = tmp_path_factory.mktemp("tutorial")
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script(free_port())],
        cwd=folder,
        env={**variables, **CHOICES, "PATH": path, "PYTHONPATH": python_path(folder / "shop")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return re.split(r"^@@\d+\n", done.stdout, flags=re.M)[1:]


@pytest.mark.slow
def test_every_answer_is_the_one_that_the_page_shows(printed: list[str]) -> None:
    shown = 0
    for number, (language, text, _) in enumerate(steps()):
        if language == "text":
            left = printed[number - 1].replace("\r", "")
            for line in text.splitlines():
                assert line in left, f"{line!r} is not in {left!r}"
                left = left.partition(line)[2]
                shown += 1
    assert shown > 10


def test_every_block_is_a_file_a_command_or_an_answer() -> None:
    assert {language for language, _, _ in steps()} == {"python", "sh", "text"}
