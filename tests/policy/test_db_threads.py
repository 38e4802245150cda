"""Threads that wait for the database, so that requests need not wait for ever."""

from __future__ import annotations

import os
import threading

import pytest
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.test.utils import override_settings

from apiguard.policy import db_threads as module
from apiguard.policy.db_threads import DatabaseThreads, NoAnswer, must_run_inline, wait
from tests.policy.processes import SECONDS_TO_WAIT

LONG = SECONDS_TO_WAIT


@pytest.fixture
def crew():
    return DatabaseThreads("tests", most=2)


@pytest.fixture
def stuck(crew):
    """Every thread of the crew waits, until the test ends."""
    let_go = threading.Event()
    reached = [threading.Event() for _ in range(2)]

    def hang(number):
        reached[number].set()
        let_go.wait(LONG)

    for number in range(2):
        crew.send(lambda number=number: hang(number), lambda *_: None)
        assert reached[number].wait(LONG)
    yield let_go
    let_go.set()


def test_who_asks_gets_what_was_found(crew):
    assert crew.ask(lambda: 42, LONG) == 42
    assert crew.ask(lambda: None, LONG) is None


def test_who_asks_gets_what_was_raised(crew):
    with pytest.raises(ZeroDivisionError):
        crew.ask(lambda: 1 / 0, LONG)
    assert crew.ask(lambda: 1, LONG) == 1


def test_work_is_done_by_another_thread_and_mostly_by_the_same(crew):
    names = {crew.ask(threading.get_ident, LONG) for _ in range(20)}
    assert threading.get_ident() not in names
    assert len(names) <= 2


def test_who_gets_no_answer_goes_on(crew, stuck):
    with pytest.raises(NoAnswer):
        crew.ask(lambda: 1, 0.05)


def test_what_nobody_can_do_is_refused_at_once(crew, stuck):
    for _ in range(2):  # These wait their turn.
        crew.send(lambda: None, lambda *_: None)
    with pytest.raises(NoAnswer, match="Everybody"):
        crew.ask(lambda: None, LONG)


def test_what_waited_its_turn_is_done_in_the_end(crew, stuck):
    done = threading.Event()
    crew.send(lambda: None, lambda *_: done.set())
    stuck.set()
    assert done.wait(LONG)


def test_threads_without_work_end(crew, monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    thread = crew.ask(threading.current_thread, LONG)
    thread.join(LONG)
    assert not thread.is_alive()
    assert crew.ask(lambda: 1, LONG) == 1


def test_a_kept_connection_that_failed_is_not_blamed_on_the_database(crew):
    crew.ask(lambda: 1, LONG)
    tries = []

    def once_dead():
        tries.append(1)
        if len(tries) == 1:
            raise InterfaceError("connection already closed")
        return "alive"

    assert crew.ask(once_dead, LONG) == "alive"


def test_a_new_connection_that_fails_is(crew):
    tries = []

    def dead():
        tries.append(1)
        raise OperationalError("away")

    with pytest.raises(OperationalError):
        crew.ask(dead, LONG)
    assert len(tries) == 1


@pytest.mark.django_db(transaction=True)
def test_threads_that_end_close_their_connections(crew, monkeypatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)

    def look():
        connection.ensure_connection()
        return threading.current_thread(), connections["default"]

    thread, used = crew.ask(look, LONG)
    thread.join(LONG)
    assert used is not connections["default"]
    assert used.connection is None


def test_a_forked_process_has_a_crew_of_its_own(crew):
    crew.ask(lambda: 1, LONG)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if crew.ask(lambda: 1, LONG) == 1 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_waiting_ends_when_it_comes_to_pass_and_when_it_does_not():
    event = threading.Event()
    assert not wait(event, 0)
    assert not wait(event, 0.05)
    event.set()
    assert wait(event, 0)
    assert wait(event, LONG)


@pytest.fixture
def over_the_network(transactional_db, monkeypatch):
    """The database is taken for one that is asked through a socket."""
    monkeypatch.setattr(type(connections["default"]), "vendor", "postgresql")
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0}):
        yield


def test_a_database_over_the_network_is_waited_for_by_the_crew(over_the_network):
    assert not must_run_inline("default")


def test_what_only_this_transaction_sees_is_read_here(over_the_network):
    with transaction.atomic():
        assert must_run_inline("default")
    connection.set_autocommit(False)
    try:
        assert must_run_inline("default")
    finally:
        connection.set_autocommit(True)


def test_tests_read_here(over_the_network):
    with override_settings(APIGUARD={"POLICY_MAX_AGE": None}):
        assert must_run_inline("default")


def test_a_file_is_read_here(over_the_network, monkeypatch):
    monkeypatch.setattr(type(connections["default"]), "vendor", "sqlite")
    assert must_run_inline("default")
