"""A worker's own word: left while it works, dropped when that fails, taken back at the end."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import OperationalError
from django.test import override_settings

from apiguard.policy.holder import PolicyHolder, PolicyUnavailable, holder
from apiguard.policy.status import PolicyStatus
from apiguard.telemetry import periodic
from apiguard.telemetry.heartbeats import Heartbeat, HeartbeatSender, sender
from apiguard.telemetry.process import process_name

SECONDS_TO_WAIT = 10
STATUS = PolicyStatus(418, "ab12", problems=1)


class Noted:
    """A registry that keeps what it is told, and says that it was told something."""

    def __init__(self):
        self.said = {}
        self.told = threading.Semaphore(0)
        self.error = None

    def write(self, process, text):
        self.told.release()
        if self.error:
            raise self.error
        self.said[process] = text

    def remove(self, process):
        self.said.pop(process, None)

    def is_told(self):
        return self.told.acquire(timeout=SECONDS_TO_WAIT)


@pytest.fixture
def registry():
    return Noted()


@pytest.fixture
def working(registry, monkeypatch):
    """A sender of a process at work."""
    monkeypatch.setattr(periodic, "EVERY_SECONDS", 0)
    made = HeartbeatSender()
    made.configure(lambda: STATUS, lambda settings: registry)
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0}):
        yield made
        made._refreshing_since = None


def look(sender):
    sender.note_refresh(True)
    sender.note_refresh(False)


def test_a_look_makes_it_say_what_this_process_holds(working, registry):
    look(working)
    assert registry.is_told()


def test_what_is_reported_stands_under_the_name_of_this_process(working, registry):
    working._send()
    assert {name: Heartbeat.parse(text) for name, text in registry.said.items()} == {
        process_name(): Heartbeat(418, "ab12", problems=1)
    }


def test_a_sender_that_is_not_configured_sends_nothing(working):
    idle = HeartbeatSender()
    idle._send()
    assert (idle.now(), idle.dropped) == (None, 0)


def test_a_process_that_never_read_policy_sends_no_heartbeat(working):
    working.configure(PolicyStatus, lambda settings: None)
    assert working.now() is None
    working.configure(lambda: PolicyStatus(failed_since=1.0), lambda settings: None)
    assert working.now() is not None


def test_without_a_shared_store_nothing_is_reported_and_nothing_is_lost(working, registry):
    working.configure(lambda: STATUS, lambda settings: None)
    working._send()
    assert (registry.said, working.dropped) == ({}, 0)


def test_a_report_that_cannot_be_left_is_dropped_counted_and_logged_once(working, registry, caplog):
    registry.error = ConnectionError("redis://:secret@10.0.0.1 is away")
    for _ in range(3):
        working._send()
    assert working.dropped == 3
    assert [record.getMessage() for record in caplog.records] == [
        "Heartbeats cannot be sent to Redis: ConnectionError."
    ]
    registry.error = None
    working._send()
    assert registry.said
    registry.error = ConnectionError()
    working._send()
    assert len(caplog.records) == 2


def test_while_a_refresh_hangs_heartbeats_show_for_how_long(working, registry, monkeypatch):
    working.note_refresh(True)
    for _ in range(3):
        assert registry.is_told()
    began = working._refreshing_since
    monkeypatch.setattr(time, "monotonic", lambda: began + 12)
    assert working.now().refreshing_for == 12
    monkeypatch.undo()
    working.note_refresh(False)
    assert working.now().refreshing_for is None


def test_an_idle_process_sends_no_heartbeat(working):
    assert working._idle_timeout() is None


def test_a_process_that_ends_takes_its_word_back(working, registry):
    look(working)
    assert registry.is_told()
    working.sign_off()
    assert working._signed_off.is_set()
    assert registry.said == {}


def test_a_process_that_sent_nothing_does_not_wait_at_its_end(working, monkeypatch):
    monkeypatch.setattr(working._signed_off, "wait", lambda seconds: pytest.fail("It waits."))
    working.sign_off()


def test_a_store_that_is_away_does_not_hold_up_the_end(working, registry):
    look(working)
    assert registry.is_told()
    registry.remove = lambda process: 1 / 0
    working.sign_off()
    assert working._signed_off.wait(SECONDS_TO_WAIT)


def test_a_forked_process_has_sent_nothing(working, registry):
    look(working)
    assert registry.is_told()
    working._start_over()
    assert (working._has_sent, working._thread.is_running, working.dropped) == (False, False, 0)
    assert working.now() is not None


def test_in_tests_nobody_reports(working, registry):
    with override_settings(APIGUARD={"POLICY_MAX_AGE": None}):
        look(working)
        working._send()
    assert not working._thread.is_running
    assert registry.said == {}


def test_each_refresh_of_policy_updates_the_heartbeat():
    assert holder.on_refresh == sender.note_refresh
    assert sender._status == holder.status


@pytest.mark.django_db(transaction=True)
def test_requests_between_two_refreshes_do_not_call_on_refresh():
    told, held = [], PolicyHolder()
    held.on_refresh = told.append
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 3600.0}):
        for _ in range(5):
            assert held.snapshot() is not None
    assert told == [True, False]


@pytest.mark.django_db(transaction=True)
def test_a_refresh_that_fails_updates_the_heartbeat_too(monkeypatch):
    def fail():
        raise OperationalError("away")

    told, held = [], PolicyHolder()
    held.on_refresh = told.append
    monkeypatch.setattr("apiguard.policy.load.state", fail)
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 0.0}), pytest.raises(PolicyUnavailable):
        held.snapshot()
    assert told == [True, False]
