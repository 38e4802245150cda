"""The policy in force while the database neither answers nor fails: nobody waits for long."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connections
from django.test.utils import override_settings

from apiguard.models import PolicyState
from apiguard.models.state import committed
from apiguard.policy import holder as module
from apiguard.policy import load, look
from apiguard.policy.backoff import FIRST_PAUSE
from apiguard.policy.db_threads import DatabaseThreads
from apiguard.policy.holder import PolicyHolder, PolicyUnavailable
from apiguard.policy.look import Look
from tests.policy.processes import AGE, SECONDS_TO_WAIT, STALENESS, add_route, elsewhere, names


class Patience:
    """Ends every wait when the test says so, instead of after seconds."""

    def __init__(self):
        self.waits = []
        self.is_over = threading.Event()
        self.is_over.set()

    def wait(self, event, seconds):
        self.waits.append(seconds)
        while not event.wait(0.005):
            if self.is_over.is_set():
                return False
        return True


@pytest.fixture
def patience(monkeypatch):
    patience = Patience()
    monkeypatch.setattr(look, "wait", patience.wait)
    return patience


@pytest.fixture
def crewed(holder, monkeypatch, patience):
    """The same process, whose looks are the business of a crew of its own."""
    crew = DatabaseThreads("tests", most=3)
    monkeypatch.setattr(module, "crew", crew)
    monkeypatch.setattr(module, "must_run_inline", lambda alias: False)
    return holder


@pytest.fixture
def database(monkeypatch):
    """Looks hang while ``is_back`` is not set."""
    look, database = load.state, SimpleNamespace(is_back=threading.Event(), looks=0)
    database.is_back.set()

    def state():
        database.looks += 1
        assert database.is_back.wait(SECONDS_TO_WAIT)
        return look()

    monkeypatch.setattr(load, "state", state)
    yield database
    database.is_back.set()


def start(crewed, patience, database):
    patience.is_over.clear()
    held = crewed.snapshot()
    patience.is_over.set()
    assert held is not None
    database.is_back.clear()
    database.looks = 0
    return held


def test_a_look_that_hangs_holds_up_nobody_while_the_last_one_is_recent(
    crewed, clock, database, patience
):
    held = start(crewed, patience, database)
    clock.forward(AGE * 1.5)
    assert [crewed.snapshot() for _ in range(5)] == [held] * 5
    assert crewed.ready() is held
    assert database.looks == 1
    # Whoever begins a look may wait a moment for it, the others do not at all.
    assert [seconds for seconds in patience.waits[1:] if seconds] == [look.GRACE_SECONDS]


def test_who_may_not_go_on_waits_once_and_then_nobody_does(crewed, clock, database, patience):
    held = start(crewed, patience, database)
    clock.forward(2 * AGE)
    assert crewed.ready() is None
    assert crewed.snapshot() is held
    waits = len(patience.waits)
    assert waits
    for _ in range(5):
        assert crewed.snapshot() is held
        assert crewed.ready() is held
    assert len(patience.waits) == waits
    assert crewed.cut_off
    assert "NoAnswer" in crewed.status().error


def test_while_it_hangs_looks_are_farther_and_farther_apart(crewed, clock, database, patience):
    start(crewed, patience, database)
    clock.forward(2 * AGE)
    for _ in range(500):
        crewed.snapshot()
        clock.forward(0.1)
    assert database.looks <= 8
    # Threads that hang are bounded, too.
    assert module.crew._threads <= 3


def test_it_is_found_when_it_is_back(crewed, clock, database, patience):
    start(crewed, patience, database)
    elsewhere(lambda: add_route("a"))
    clock.forward(2 * AGE)
    crewed.snapshot()
    database.is_back.set()
    for _ in range(round(STALENESS - 2 * AGE)):
        clock.forward(FIRST_PAUSE)
        found = names(crewed.snapshot()), crewed.cut_off
        if found == ({"a"}, False):
            break
        time.sleep(0.1)  # The crew's thread needs a processor, which others may want too.
    # As it was told then: to ask once more may be to look once more, and to wait in vain.
    assert found == ({"a"}, False)


def test_it_goes_on_for_so_long_and_no_longer(crewed, clock, database, patience):
    held = start(crewed, patience, database)
    clock.forward(STALENESS - 1)
    assert crewed.snapshot() is held
    clock.forward(2)
    with pytest.raises(PolicyUnavailable):
        crewed.snapshot()
    assert crewed.ready() is None


def test_a_worker_that_starts_meanwhile_holds_nothing(crewed, clock, database, patience):
    database.is_back.clear()
    with pytest.raises(PolicyUnavailable):
        crewed.snapshot()
    waits = len(patience.waits)
    with pytest.raises(PolicyUnavailable):
        crewed.snapshot()
    assert len(patience.waits) == waits


def test_a_worker_that_slept_for_an_hour_judges_nothing_by_its_old_policy(
    crewed, clock, database, patience
):
    held = start(crewed, patience, database)
    database.is_back.set()
    elsewhere(lambda: add_route("a"))
    clock.forward(3600)
    patience.is_over.clear()
    assert names(crewed.snapshot()) == {"a"}
    assert names(held) == set()


def test_a_worker_that_slept_during_a_look_looks_again(holder, clock, monkeypatch):
    holder.snapshot()
    state = load.state

    def look_then_sleep():
        seen = state()
        monkeypatch.setattr(load, "state", state)
        elsewhere(lambda: add_route("a"))
        clock.forward(3600)
        return seen

    clock.forward(2 * AGE)
    monkeypatch.setattr(load, "state", look_then_sleep)
    assert names(holder.snapshot()) == {"a"}


def test_a_worker_that_slept_during_a_failure_waits_for_a_look(holder, clock, away):
    holder.snapshot()
    with away():
        clock.forward(AGE)
        holder.snapshot()
        elsewhere(lambda: add_route("a"))
    clock.forward(50)
    assert names(holder.snapshot()) == {"a"}


def test_a_look_that_ends_too_late_does_not_swap_back(crewed, clock, database, patience):
    add_route("old")
    start(crewed, patience, database)
    stuck = Look(committed.count)
    crewed._look = stuck
    reading = module.Reading(crewed._held)
    clock.forward(2 * AGE)
    crewed.snapshot()
    clock.forward(3 * FIRST_PAUSE)
    database.is_back.set()
    patience.is_over.clear()
    elsewhere(lambda: add_route("new"))
    committed.note()
    assert names(crewed.snapshot()) == {"old", "new"}
    crewed._finish(stuck, reading, None)
    assert names(crewed._held) == {"old", "new"}


def test_a_change_of_this_process_ends_a_pause(holder, clock, away):
    holder.snapshot()
    with away():
        clock.forward(AGE)
        holder.snapshot()
    add_route("a")
    assert names(holder.snapshot()) == {"a"}


def test_a_change_of_this_process_is_no_reason_to_ask_without_end(holder, monkeypatch):
    held, looks = holder.snapshot(), []

    def fail():
        looks.append(1)
        raise OperationalError("away")

    add_route("a")
    monkeypatch.setattr(load, "state", fail)
    for _ in range(5):
        assert holder.snapshot() is held
    assert len(looks) == 1


def test_an_unforeseen_error_is_a_failed_look_and_is_said(holder, clock, monkeypatch, caplog):
    held = holder.snapshot()
    clock.forward(AGE)
    monkeypatch.setattr(load, "state", lambda: 1 / 0)
    assert holder.snapshot() is held
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" in holder.status().error


def test_looks_of_the_crew_leave_no_connection_behind(crewed, clock, patience, monkeypatch):
    seen = []
    state = load.state
    monkeypatch.setattr(load, "state", lambda: seen.append(connections["default"]) or state())
    patience.is_over.clear()
    crewed.snapshot()
    assert seen[0] is not connections["default"]


@override_settings(APIGUARD={"POLICY_MAX_AGE": None})
def test_in_tests_nobody_looks_from_elsewhere(transactional_db, monkeypatch):
    monkeypatch.setattr(module.crew, "send", lambda *_: pytest.fail("sent"))
    holder = PolicyHolder()
    add_route("a")
    assert names(holder.snapshot()) == {"a"}
    assert holder.status().revision == PolicyState.objects.get().revision
