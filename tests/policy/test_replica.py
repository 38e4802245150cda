"""Where reads go to a replica, policy, keys and users come from where they are written."""

from __future__ import annotations

import pytest

from tests.scripted import said_by

pytestmark = pytest.mark.slow


@pytest.fixture
def answer(migrated_postgres):
    with migrated_postgres() as primary, migrated_postgres() as replica:
        settings = {
            "TEST_DATABASE_URL": primary,
            "REPLICA_URL": replica,
            "DJANGO_SETTINGS_MODULE": "tests.policy.replica_settings",
        }
        return said_by("tests.policy.replica", settings)


def test_a_replica_that_lags_gets_no_query(answer):
    assert answer["asked"] == []
    assert answer["replica"] == 0


def test_what_was_just_written_is_in_force(answer):
    seen = answer["seen"]
    assert seen.pop("revisions") >= 7
    assert seen.pop("cost") == 9
    assert set(seen.values()) == {True}, seen
