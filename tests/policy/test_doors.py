"""Whatever changes a policy row on a real PostgreSQL: workers see it, if and only if it commits."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.scripted import MIGRATE, said_by
from tests.stores import postgres_database

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).with_name("doors.py").read_text(encoding="utf-8")
DOORS = re.findall(r"^    def ([a-z]\w*)\(self\) -> None:", SOURCE, re.MULTILINE)

LEVELS = {
    "read committed": "",
    "repeatable read": "?isolation_level=3",
    "serializable": "?isolation_level=4",
}


@pytest.fixture(scope="module", params=LEVELS)
def broken(request, postgres_url):
    """Door -> promises that it breaks."""
    with postgres_database(postgres_url, f"doors_{os.getpid()}") as url:
        settings = {
            "TEST_DATABASE_URL": url + LEVELS[request.param],
            "DJANGO_SETTINGS_MODULE": "project.settings_test",
        }
        return said_by("tests.policy.doors", settings, MIGRATE)


def test_every_door_is_tried(broken):
    assert sorted(broken) == sorted(DOORS)


@pytest.mark.parametrize("door", DOORS)
def test_workers_see_what_commits_and_nothing_else(broken, door):
    assert broken[door] == []
