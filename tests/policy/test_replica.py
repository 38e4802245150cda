"""Where reads go to a replica, policy, keys and users come from where they are written."""

from __future__ import annotations

import os

import pytest

from tests.scripted import MIGRATE, said_by
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
        replicated = (*MIGRATE, "--database", "replica")
        return said_by("tests.policy.replica", settings, MIGRATE, replicated)


def test_a_replica_that_lags_is_asked_nothing(answer):
    assert answer["asked"] == []
    assert answer["replica"] == 0


def test_what_was_just_written_is_in_force(answer):
    seen = answer["seen"]
    assert seen.pop("revisions") >= 7
    assert seen.pop("cost") == 9
    assert set(seen.values()) == {True}, seen
