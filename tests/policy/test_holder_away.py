"""The policy in force while the database is away, or not there yet."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from apiguard.concurrency import FIRST_PAUSE
from apiguard.models import PolicyState
from apiguard.policy import load
from apiguard.policy.holder import PolicyUnavailable
from tests.policy.processes import (
    AGE,
    STALENESS,
    add_route,
    elsewhere,
    names,
)


def test_a_failed_read_keeps_what_is_held_until_it_is_too_stale(holder, clock, away):
    held = holder.snapshot()
    with away():
        clock.forward(AGE)
        assert holder.snapshot() is held
        clock.forward(STALENESS - AGE)
        assert holder.snapshot() is held
        clock.forward(1)
        with pytest.raises(PolicyUnavailable):
            holder.snapshot()


def test_after_a_failed_look_nobody_looks_for_a_while(holder, clock, monkeypatch):
    held, looks = holder.snapshot(), []

    def fail():
        looks.append(clock.now)
        raise OperationalError("away")

    monkeypatch.setattr(load, "state", fail)
    clock.forward(AGE)
    for _ in range(5):
        assert holder.snapshot() is held
    clock.forward(FIRST_PAUSE)
    holder.snapshot()
    assert len(looks) == 2


def test_policy_comes_back_with_the_database(holder, clock, away, caplog):
    holder.snapshot()
    elsewhere(lambda: add_route("a"))
    with away():
        clock.forward(STALENESS * 2)
        with pytest.raises(PolicyUnavailable):
            holder.snapshot()
    clock.forward(FIRST_PAUSE)
    assert names(holder.snapshot()) == {"a"}
    assert "Policy can be read again." in caplog.messages


def test_without_any_policy_nothing_can_be_judged(holder, away):
    with away(), pytest.raises(PolicyUnavailable):
        holder.snapshot()


def test_a_worker_that_starts_while_the_database_is_away_recovers(holder, clock, away):
    add_route("a")
    with away(), pytest.raises(PolicyUnavailable):
        holder.snapshot()
    clock.forward(FIRST_PAUSE)
    assert names(holder.snapshot()) == {"a"}


def test_before_migrate_there_is_no_policy_and_the_log_says_so_once(
    holder, clock, monkeypatch, caplog
):
    def no_such_table():
        raise OperationalError("no such table")

    monkeypatch.setattr(load, "state", no_such_table)
    monkeypatch.setattr(load, "was_migrated", lambda: False)
    assert holder.snapshot() is None
    clock.forward(AGE)
    assert holder.snapshot() is None
    assert sum("tables do not exist" in message for message in caplog.messages) == 1


def test_after_migrate_policy_is_found(holder, clock, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(load, "state", lambda: PolicyState.objects.raw("SELECT * FROM nothing")[0])
        patch.setattr(load, "was_migrated", lambda: False)
        assert holder.snapshot() is None
    add_route("a")
    clock.forward(AGE)
    assert names(holder.snapshot()) == {"a"}


def test_tables_that_vanish_under_a_running_guard_are_a_failed_read(holder, clock, monkeypatch):
    add_route("a")
    held = holder.snapshot()

    def no_such_table():
        raise OperationalError("no such table")

    monkeypatch.setattr(load, "state", no_such_table)
    monkeypatch.setattr(load, "was_migrated", lambda: False)
    clock.forward(AGE)
    assert holder.snapshot() is held
    clock.forward(STALENESS)
    with pytest.raises(PolicyUnavailable):
        holder.snapshot()


def test_a_state_row_that_vanishes_is_a_failed_read_until_somebody_publishes(
    holder, clock, monkeypatch
):
    add_route("a")
    held = holder.snapshot()
    with monkeypatch.context() as patch:
        patch.setattr(load, "state", PolicyState)
        clock.forward(AGE)
        assert holder.snapshot() is held
    add_route("b")
    clock.forward(FIRST_PAUSE)
    assert names(holder.snapshot()) == {"a", "b"}


def test_tables_that_were_made_once_are_missed_by_a_new_worker(holder, monkeypatch):
    def no_such_table():
        raise OperationalError("no such table")

    monkeypatch.setattr(load, "state", no_such_table)
    monkeypatch.setattr(load, "tables_exist", lambda: False)
    # The record of migrations says that they are not absent, but gone.
    with pytest.raises(PolicyUnavailable):
        holder.snapshot()
