"""What the docs say is what is there."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from apiguard.request.verdict import REFUSALS
from apiguard.rules.setting_values import PARSERS

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


def table_cells(page: str, column: int) -> list[str]:
    lines = (CHECKOUT / page).read_text().splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("|")]
    return [row[column].strip() for row in rows if len(row) > column]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_example_is_python(page: Path) -> None:
    for block in re.findall(r"^ *```python\n(.*?)^ *```", page.read_text(), re.M | re.S):
        compile(textwrap.dedent(block), page.name, "exec")


def test_every_setting_is_documented_and_no_other() -> None:
    documented = [cell.strip("`") for cell in table_cells("docs/settings.md", 0)[2:]]
    assert documented == list(PARSERS)


def test_every_error_code_is_documented() -> None:
    documented = set(re.findall(r"`(\w+)`", " ".join(table_cells("docs/request.md", 2))))
    assert {refusal.error for refusal in REFUSALS.values()} <= documented


def test_every_folder_of_the_package_is_on_the_map() -> None:
    on_the_map = " ".join(table_cells("docs/architecture.md", 0))
    for folder in (CHECKOUT / "apiguard").iterdir():
        if (folder / "__init__.py").exists() and folder.name not in ("management", "migrations"):
            assert f"`{folder.name}/`" in on_the_map


def test_the_readme_begins_with_the_two_commands() -> None:
    first = re.search(r"```sh\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.S)
    assert first is not None
    assert [line.split()[0] for line in first[1].splitlines()] == ["scripts/demo", "scripts/test"]
