"""The policy in force while the database neither answers nor fails: nobody waits for long."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connections
from django.test.utils import override_settings

from apiguard.concurrency import FIRST_PAUSE
from apiguard.models import PolicyState
from apiguard.models.state import committed
from apiguard.policy import holder as module
from apiguard.policy import load
from apiguard.policy.db_threads import DatabaseThreads
from apiguard.policy.holder import PolicyHolder, PolicyUnavailable
from apiguard.policy.refresh import Attempt, Moment, Refreshing
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
    monkeypatch.setattr(module, "wait", patience.wait)
    return patience


@pytest.fixture
def threaded(holder, monkeypatch, patience):
    """The same process, whose refreshes run in threads of its own."""
    threads = DatabaseThreads("tests", most=3, max_queue=3)
    monkeypatch.setattr(module, "threads", threads)
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


def start(threaded, patience, database):
    patience.is_over.clear()
    held = threaded.snapshot()
    patience.is_over.set()
    assert held is not None
    database.is_back.clear()
    database.looks = 0
    return held


def test_a_look_that_hangs_holds_up_nobody_while_the_last_one_is_recent(
    threaded, clock, database, patience
):
    held = start(threaded, patience, database)
    clock.forward(AGE * 1.5)
    assert [threaded.snapshot() for _ in range(5)] == [held] * 5
    assert threaded.ready() is held
    assert database.looks == 1
    # Whoever begins a look may wait a moment for it, the others do not at all.
    assert [seconds for seconds in patience.waits[1:] if seconds] == [module.GRACE_SECONDS]


def test_who_may_not_go_on_waits_once_and_then_nobody_does(threaded, clock, database, patience):
    held = start(threaded, patience, database)
    clock.forward(2 * AGE)
    assert threaded.ready() is None
    assert threaded.snapshot() is held
    waits = len(patience.waits)
    assert waits
    for _ in range(5):
        assert threaded.snapshot() is held
        assert threaded.ready() is held
    assert len(patience.waits) == waits
    assert threaded.cut_off
    assert "NoAnswer" in threaded.status().error


def test_while_it_hangs_looks_are_farther_and_farther_apart(threaded, clock, database, patience):
    start(threaded, patience, database)
    clock.forward(2 * AGE)
    for _ in range(500):
        threaded.snapshot()
        clock.forward(0.1)
    assert database.looks <= 8
    # Threads that hang are bounded, too.
    assert module.threads._threads <= 3


def test_it_is_found_when_it_is_back(threaded, clock, database, patience):
    start(threaded, patience, database)
    elsewhere(lambda: add_route("a"))
    clock.forward(2 * AGE)
    threaded.snapshot()
    database.is_back.set()
    for _ in range(round(STALENESS - 2 * AGE)):
        clock.forward(FIRST_PAUSE)
        found = names(threaded.snapshot()), threaded.cut_off
        if found == ({"a"}, False):
            break
        time.sleep(0.1)  # The thread needs a processor, which others may want too.
    # As it was told then: to ask once more may be to look once more, and to wait in vain.
    assert found == ({"a"}, False)


def test_it_goes_on_for_so_long_and_no_longer(threaded, clock, database, patience):
    held = start(threaded, patience, database)
    clock.forward(STALENESS - 1)
    assert threaded.snapshot() is held
    clock.forward(2)
    with pytest.raises(PolicyUnavailable):
        threaded.snapshot()
    assert threaded.ready() is None


def test_a_worker_that_starts_meanwhile_holds_nothing(threaded, clock, database, patience):
    database.is_back.clear()
    with pytest.raises(PolicyUnavailable):
        threaded.snapshot()
    waits = len(patience.waits)
    with pytest.raises(PolicyUnavailable):
        threaded.snapshot()
    assert len(patience.waits) == waits


def test_a_worker_that_slept_for_an_hour_judges_nothing_by_its_old_policy(
    threaded, clock, database, patience
):
    held = start(threaded, patience, database)
    database.is_back.set()
    elsewhere(lambda: add_route("a"))
    clock.forward(3600)
    patience.is_over.clear()
    assert names(threaded.snapshot()) == {"a"}
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


def test_a_look_that_ends_too_late_does_not_swap_back(threaded, clock, database, patience):
    add_route("old")
    start(threaded, patience, database)
    stuck = Attempt(-1, Moment(clock.monotonic(), committed.count))
    threaded._state = Refreshing(stuck, threaded._state)
    threaded._ended = threading.Event()
    reading = module.Reading(threaded._held)
    clock.forward(2 * AGE)
    threaded.snapshot()
    clock.forward(3 * FIRST_PAUSE)
    database.is_back.set()
    patience.is_over.clear()
    elsewhere(lambda: add_route("new"))
    committed.note()
    assert names(threaded.snapshot()) == {"old", "new"}
    threaded._finish(stuck, threading.Event(), reading, None)
    assert names(threaded._held) == {"old", "new"}


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


def test_an_unforeseen_error_is_a_failed_refresh_and_is_reported(
    holder, clock, monkeypatch, caplog
):
    held = holder.snapshot()
    clock.forward(AGE)
    monkeypatch.setattr(load, "state", lambda: 1 / 0)
    assert holder.snapshot() is held
    assert "ZeroDivisionError" in caplog.text
    assert "ZeroDivisionError" in holder.status().error


def test_refreshes_of_the_threads_leave_no_connection_behind(
    threaded, clock, patience, monkeypatch
):
    seen = []
    state = load.state
    monkeypatch.setattr(load, "state", lambda: seen.append(connections["default"]) or state())
    patience.is_over.clear()
    threaded.snapshot()
    assert seen[0] is not connections["default"]


@override_settings(APIGUARD={"POLICY_MAX_AGE": None})
def test_in_tests_nobody_looks_from_elsewhere(transactional_db, monkeypatch):
    monkeypatch.setattr(module.threads, "submit", lambda *_: pytest.fail("submitted"))
    holder = PolicyHolder()
    add_route("a")
    assert names(holder.snapshot()) == {"a"}
    assert holder.status().revision == PolicyState.objects.get().revision
