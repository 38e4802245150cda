"""One key, rotated and revoked by many at once on PostgreSQL: one wins, the others are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import clean_environment

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("grace", "words"),
    [
        pytest.param(3600, "Somebody else has rotated", id="grace"),
        pytest.param(0, "revoked", id="now"),
    ],
)
def test_of_many_who_rotate_a_key_at_once_one_does_and_the_others_are_told(
    fresh_postgres_url, grace, words
):
    environment = clean_environment(
        {"TEST_DATABASE_URL": fresh_postgres_url, "DJANGO_SETTINGS_MODULE": "project.settings_test"}
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.rotators", str(grace)],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    for one in answer["rounds"]:
        assert one["told"].count("rotated") == one["successors"] == 1
        assert sum(words in each for each in one["told"]) == answer["threads"] - 1
        assert (one["revoked"], one["ends"]) == (grace == 0, grace > 0)
    assert all(answer["ended"])
