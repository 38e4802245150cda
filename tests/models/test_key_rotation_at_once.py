"""One key, rotated and revoked by many at once on PostgreSQL: one wins, the others are told."""

from __future__ import annotations

import pytest

from tests.scripted import said_by, settings_on

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("grace", "words"),
    [
        pytest.param(3600, "Somebody else has rotated", id="grace"),
        pytest.param(0, "revoked", id="now"),
    ],
)
def test_of_many_rotations_at_once_one_succeeds_and_the_others_fail(
    migrated_postgres_url, grace, words
):
    answer = said_by("tests.models.rotators", settings_on(migrated_postgres_url), str(grace))
    for one in answer["rounds"]:
        assert one["told"].count("rotated") == one["successors"] == 1
        assert sum(words in each for each in one["told"]) == answer["threads"] - 1
        assert (one["revoked"], one["ends"]) == (grace == 0, grace > 0)
    assert all(answer["ended"])
