"""Threads that wait for the database, so that requests need not wait for ever."""

from __future__ import annotations

import threading

import pytest
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.test.utils import override_settings

from apiguard import concurrency
from apiguard.policy import db_threads
from apiguard.policy.db_threads import DatabaseThreads, must_run_inline
from tests.policy.processes import SECONDS_TO_WAIT

LONG = SECONDS_TO_WAIT


@pytest.fixture
def threads():
    return DatabaseThreads("tests", most=2, max_queue=2)


def test_a_kept_connection_that_failed_is_not_blamed_on_the_database(threads):
    threads.call(lambda: 1, LONG)
    tries = []

    def once_dead():
        tries.append(1)
        if len(tries) == 1:
            raise InterfaceError("connection already closed")
        return "alive"

    assert threads.call(once_dead, LONG) == "alive"


def test_a_new_connection_that_fails_is(threads):
    tries = []

    def dead():
        tries.append(1)
        raise OperationalError("away")

    with pytest.raises(OperationalError):
        threads.call(dead, LONG)
    assert len(tries) == 1


@pytest.mark.django_db(transaction=True)
def test_threads_that_end_close_their_connections(threads, monkeypatch):
    monkeypatch.setattr(concurrency, "IDLE_SECONDS", 0.01)

    def look():
        connection.ensure_connection()
        return threading.current_thread(), connections["default"]

    thread, used = threads.call(look, LONG)
    thread.join(LONG)
    assert used is not connections["default"]
    assert used.connection is None


@pytest.fixture
def over_the_network(transactional_db, monkeypatch):
    """The database is taken for one that is asked through a socket."""
    monkeypatch.setattr(type(connections["default"]), "vendor", "postgresql")
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0}):
        yield


def test_a_database_over_the_network_is_waited_for_by_the_threads(over_the_network):
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


@pytest.mark.django_db(transaction=True)
def test_a_connection_of_a_pool_goes_back_after_every_query(threads, monkeypatch):
    # SQLite takes no such option, and only new connections read it.
    monkeypatch.setattr(db_threads, "_is_pooled", lambda connection: True)

    def use():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return connections["default"]

    for _ in range(3):
        assert threads.call(use, LONG).connection is None


@pytest.mark.parametrize("has_one", [True, False])
def test_a_thread_that_holds_a_connection_of_a_pool_waits_for_no_second_one(
    over_the_network, monkeypatch, has_one
):
    connection.ensure_connection()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "OPTIONS", {"pool": True})
        if not has_one:
            patch.setattr(connections["default"], "connection", None)
        assert must_run_inline("default") == has_one
