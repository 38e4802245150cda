"""Whatever changes a policy row on a real PostgreSQL: workers see it, if and only if it commits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.scripted import said_by, settings_on

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).with_name("doors.py").read_text(encoding="utf-8")
DOORS = re.findall(r"^    def ([a-z]\w*)\(self\) -> None:", SOURCE, re.MULTILINE)

# One process alone reads under REPEATABLE READ what it reads under SERIALIZABLE.
LEVELS = {"read committed": "", "serializable": "?isolation_level=4"}


@pytest.fixture(scope="module", params=LEVELS)
def broken(request, migrated_postgres):
    """Door -> promises that it breaks."""
    with migrated_postgres() as url:
        return said_by("tests.policy.doors", settings_on(url + LEVELS[request.param]))


def test_every_door_is_tried(broken):
    assert sorted(broken) == sorted(DOORS)


@pytest.mark.parametrize("door", DOORS)
def test_workers_see_what_commits_and_nothing_else(broken, door):
    assert broken[door] == []
