"""Where reads go to a replica, policy, keys and users come from where they are written."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.servers import CHECKOUT, clean_environment
from tests.stores import postgres_database

pytestmark = pytest.mark.slow


@pytest.fixture
def answer(postgres_url):
    names = [f"{kind}_{os.getpid()}" for kind in ("primary", "replica")]
    with (
        postgres_database(postgres_url, names[0]) as primary,
        postgres_database(postgres_url, names[1]) as replica,
    ):
        settings = {
            "TEST_DATABASE_URL": primary,
            "REPLICA_URL": replica,
            "DJANGO_SETTINGS_MODULE": "tests.policy.replica_settings",
        }
        migrate = ["manage.py", "migrate", "-v0"]
        done = [
            subprocess.run(
                [sys.executable, *command],
                cwd=CHECKOUT,
                env=clean_environment(settings),
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            for command in (
                migrate,
                [*migrate, "--database", "replica"],
                ["-m", "tests.policy.replica"],
            )
        ]
    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    return json.loads(done[-1].stdout.splitlines()[-1])


def test_a_replica_that_lags_is_asked_nothing(answer):
    assert answer["asked"] == []
    assert answer["replica"] == 0


def test_what_was_just_written_is_in_force(answer):
    seen = answer["seen"]
    assert seen.pop("revisions") >= 7
    assert seen.pop("cost") == 9
    assert set(seen.values()) == {True}, seen
