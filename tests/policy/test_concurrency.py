"""Many editors and readers on real databases: nobody is locked out, nobody misses a change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples import examples
from tests.scripted import migrate, settings_on
from tests.servers import clean_environment

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


ROUNDS = examples(4)


class Database:
    """A migrated database that processes of their own edit."""

    def __init__(self, url):
        self.environment = clean_environment({**settings_on(url), "EDITORS_ROUNDS": str(ROUNDS)})

    def start(self, scenario, *name):
        return subprocess.Popen(
            [sys.executable, "-m", "tests.policy.editors", scenario, *name],
            cwd=CHECKOUT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def answers(self, *processes):
        done = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0] * len(done), done
        return [json.loads(out.splitlines()[-1]) for out, _ in done]

    def answers_of_all(self, scenario, names):
        """The answers of processes that do the same at the same time."""
        self.answers(self.start("prepare", "all"))
        return self.answers(*(self.start(scenario, name) for name in names))


@pytest.fixture
def on_sqlite(tmp_path):
    url = f"sqlite:///{tmp_path / 'policy.sqlite3'}"
    migrate(url)
    return Database(url)


@pytest.fixture
def on_postgres(migrated_postgres_url):
    return Database(migrated_postgres_url)


@pytest.mark.parametrize("database", ["on_sqlite", "on_postgres"])
def test_editors_and_readers_of_two_processes_get_on_and_miss_nothing(database, request):
    database = request.getfixturevalue(database)
    answers = database.answers_of_all("editors", "ab")
    assert answers == [{"errors": [], "missed": []}] * 2


def test_a_transaction_that_began_earlier_and_commits_later_is_not_missed(on_postgres):
    [answer] = on_postgres.answers(on_postgres.start("overlapping"))
    assert answer["seen"] == [[1, ["quick"]], [2, ["quick", "slow"]]]


def test_editors_queue_and_nobody_sees_what_is_not_committed(on_postgres):
    [answer] = on_postgres.answers(on_postgres.start("queueing"))
    assert answer["seen"] == [[0, []], [2, ["first", "second"]]]


def test_a_file_is_applied_beside_editors_or_its_author_learns_that_they_were_first(on_postgres):
    [answer] = on_postgres.answers(on_postgres.start("applied"))
    assert (answer["errors"], answer["lost"], answer["missing"]) == ([], 0, 0)
    # Of three that planned on one revision at most one is done in each round.
    assert answer["untried"] == 0
    assert 0 < answer["done"] <= 1


LEVELS = pytest.mark.parametrize(
    "level",
    [
        pytest.param("", id="read committed"),
        pytest.param("?isolation_level=3", id="repeatable read"),
        pytest.param("?isolation_level=4", id="serializable"),
    ],
)


@LEVELS
def test_transactions_that_commit_in_any_order_are_missed_by_no_process(
    migrated_postgres_url, level
):
    database = Database(migrated_postgres_url + level)
    answers = database.answers_of_all("hammered", "abc")
    assert answers == [{"errors": [], "missed": []}] * 3


@LEVELS
def test_a_process_is_not_stuck_at_what_one_transaction_sees(migrated_postgres_url, level):
    database = Database(migrated_postgres_url + level)
    [answer] = database.answers(database.start("isolated"))
    # Inside, it is the transaction's business what it sees; it ends there.
    assert answer == {"inside": not level, "after": True, "following": True}
