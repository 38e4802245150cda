"""A worker's own word: left while it works, dropped when that fails, taken back at the end."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import OperationalError
from django.test import override_settings

from apiguard.policy.current import Current, PolicyUnavailable, current
from apiguard.policy.standing import Standing
from apiguard.telemetry import pulse
from apiguard.telemetry.process import process_name
from apiguard.telemetry.report import Report
from apiguard.telemetry.reporter import Reporter, reporter

SECONDS_TO_WAIT = 10
STANDING = Standing(418, "ab12", problems=1)


class Noted:
    """A board that keeps what it is told, and says that it was told something."""

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
def board():
    return Noted()


@pytest.fixture
def working(board, monkeypatch):
    """A reporter of a process at work."""
    monkeypatch.setattr(pulse, "EVERY_SECONDS", 0)
    made = Reporter()
    made.begin(lambda: STANDING, lambda settings: board)
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0}):
        yield made
        made._looking_since = None


def look(reporter):
    reporter.looking(True)
    reporter.looking(False)


def test_a_look_makes_it_say_what_this_process_holds(working, board):
    look(working)
    assert board.is_told()


def test_what_is_said_stands_under_the_name_of_this_process(working, board):
    working._beat()
    assert {name: Report.read(text) for name, text in board.said.items()} == {
        process_name(): Report(418, "ab12", problems=1)
    }


def test_nobody_is_told_before_it_is_known_what_and_where(working):
    idle = Reporter()
    idle._beat()
    assert (idle.now(), idle.dropped) == (None, 0)


def test_a_process_that_never_asked_for_policy_has_nothing_to_say(working):
    working.begin(Standing, lambda settings: None)
    assert working.now() is None
    working.begin(lambda: Standing(failed_since=1.0), lambda settings: None)
    assert working.now() is not None


def test_without_a_shared_store_nothing_is_said_and_nothing_is_lost(working, board):
    working.begin(lambda: STANDING, lambda settings: None)
    working._beat()
    assert (board.said, working.dropped) == ({}, 0)


def test_a_report_that_cannot_be_left_is_dropped_counted_and_logged_once(working, board, caplog):
    board.error = ConnectionError("redis://:secret@10.0.0.1 is away")
    for _ in range(3):
        working._beat()
    assert working.dropped == 3
    assert [record.getMessage() for record in caplog.records] == [
        "Other workers cannot be told of this one: ConnectionError."
    ]
    board.error = None
    working._beat()
    assert board.said
    board.error = ConnectionError()
    working._beat()
    assert len(caplog.records) == 2


def test_while_a_look_hangs_it_goes_on_saying_for_how_long(working, board, monkeypatch):
    working.looking(True)
    for _ in range(3):
        assert board.is_told()
    began = working._looking_since
    monkeypatch.setattr(time, "monotonic", lambda: began + 12)
    assert working.now().waiting == 12
    monkeypatch.undo()
    working.looking(False)
    assert working.now().waiting is None


def test_who_is_idle_says_nothing(working):
    assert working._patience() is None


def test_a_process_that_ends_takes_its_word_back(working, board):
    look(working)
    assert board.is_told()
    working.leave()
    assert working._left.is_set()
    assert board.said == {}


def test_a_process_that_said_nothing_does_not_wait_at_its_end(working, monkeypatch):
    monkeypatch.setattr(working._left, "wait", lambda seconds: pytest.fail("It waits."))
    working.leave()


def test_a_store_that_is_away_does_not_hold_up_the_end(working, board):
    look(working)
    assert board.is_told()
    board.remove = lambda process: 1 / 0
    working.leave()
    assert working._left.wait(SECONDS_TO_WAIT)


def test_a_forked_process_has_said_nothing(working, board):
    look(working)
    assert board.is_told()
    working._begin_anew()
    assert (working._has_said, working._pulse.is_running, working.dropped) == (False, False, 0)
    assert working.now() is not None


def test_in_tests_nobody_reports(working, board):
    with override_settings(APIGUARD={"POLICY_MAX_AGE": None}):
        look(working)
        working._beat()
    assert not working._pulse.is_running
    assert board.said == {}


def test_policy_tells_this_process_when_it_looks():
    assert current.on_look == reporter.looking
    assert reporter._standing == current.standing


@pytest.mark.django_db(transaction=True)
def test_requests_between_two_looks_tell_nobody():
    told, held = [], Current()
    held.on_look = told.append
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 3600.0}):
        for _ in range(5):
            assert held.snapshot() is not None
    assert told == [True, False]


@pytest.mark.django_db(transaction=True)
def test_a_look_that_fails_is_told_like_any_other(monkeypatch):
    def fail():
        raise OperationalError("away")

    told, held = [], Current()
    held.on_look = told.append
    monkeypatch.setattr("apiguard.policy.load.state", fail)
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 0.0}), pytest.raises(PolicyUnavailable):
        held.snapshot()
    assert told == [True, False]
