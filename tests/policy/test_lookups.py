"""Look-ups while the database is away: nobody waits for what is known not to answer."""

from __future__ import annotations

import pytest
from django.db import DataError, OperationalError, ProgrammingError, transaction
from django.test.utils import override_settings

from apiguard.concurrency import FIRST_PAUSE
from apiguard.policy import load, lookups
from apiguard.policy.holder import holder
from apiguard.policy.keyring import UNKNOWN
from apiguard.policy.lookups import LookUpFailed
from apiguard.policy.refresh import Failing, Fresh
from apiguard.policy.snapshot import empty


@pytest.fixture
def tries(monkeypatch, clock, ages, db):
    """Look-ups fail with what is put into this list first; what they ask follows it."""
    tries = [OperationalError("could not connect to postgres://me:secret@db/site")]

    def fail(*asked):
        tries.append(asked)
        if isinstance(tries[0], Exception):
            raise tries[0]

    monkeypatch.setattr(load, "key", fail)
    monkeypatch.setattr(load, "user", fail)
    for table in (lookups.keys, lookups.users):
        table.breaker.close()
    return tries


def ask():
    with pytest.raises(LookUpFailed) as failed:
        lookups.key(empty(), "unknown")
    return str(failed.value)


def test_after_a_failure_one_look_up_tries_in_each_pause(tries, clock):
    for _ in range(5):
        ask()
    assert len(tries) == 1 + 1
    clock.forward(FIRST_PAUSE)
    for _ in range(5):
        ask()
    assert len(tries) == 1 + 2


def test_keys_that_cannot_be_looked_up_do_not_keep_users_from_it(tries):
    ask()
    tries[0] = None
    assert lookups.user("pk", "1") is None


def test_they_recover_by_themselves_and_the_log_says_both_once(tries, clock, caplog):
    for _ in range(5):
        ask()
    tries[0] = None
    clock.forward(FIRST_PAUSE)
    for _ in range(5):
        assert lookups.key(empty(), "unknown") is None
    said = [message for message in caplog.messages if message.startswith("Keys")]
    assert len(said) == 2
    assert "again" in said[1]


def test_while_policy_cannot_be_read_nobody_looks_up(tries, clock, monkeypatch):
    tries[0] = None
    failing = Failing(0.0, next_try=clock.monotonic() + 1, pause=1.0, changes=0, last=Fresh())
    monkeypatch.setattr(lookups.holder, "_state", failing)
    ask()
    assert len(tries) == 1


def test_in_tests_one_that_fails_does_not_fail_the_next(tries):
    with override_settings(APIGUARD={"POLICY_MAX_AGE": None}):
        ask()
        tries[0] = None
        assert lookups.key(empty(), "unknown") is None


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(DataError("out of range"), id="a value that no row can have"),
        pytest.param(ProgrammingError("no such table"), id="a table that is missing"),
    ],
)
def test_an_answer_is_no_reason_to_stop_asking(tries, error):
    tries[0] = error
    for _ in range(3):
        ask()
    assert len(tries) == 1 + 3


def test_what_is_reported_names_no_password(tries, caplog):
    assert "secret" not in ask()
    assert "secret" not in caplog.text


def test_what_an_open_transaction_sees_is_kept_for_nobody_else(ages, monkeypatch, db):
    # It may have begun before the policy in force was read: a key that was revoked
    # meanwhile would be good for it, and then for everybody.
    held = empty()
    monkeypatch.setattr(holder, "_held", held)
    monkeypatch.setattr(load, "key", lambda key_id: None)
    with transaction.atomic():
        lookups.key(held, "shared")
        mine = empty()
        lookups.key(mine, "of this transaction")
    assert held.keyring.get("shared") is None
    assert mine.keyring.get("of this transaction") == UNKNOWN


@pytest.mark.django_db(transaction=True)
def test_what_is_seen_outside_of_one_is_kept(ages, monkeypatch):
    held = empty()
    monkeypatch.setattr(holder, "_held", held)
    monkeypatch.setattr(load, "key", lambda key_id: None)
    lookups.key(held, "shared")
    assert held.keyring.get("shared") == UNKNOWN
