"""The thread: started by the first call, at most one, replaced when it ended, absent in tests."""

from __future__ import annotations

import threading

import pytest
from django.test import override_settings

from apiguard.telemetry import pulse as module
from apiguard.telemetry.pulse import Pulse

SECONDS_TO_WAIT = 10


@pytest.fixture
def beats(monkeypatch):
    """A pulse that beats at once, and only says that it did."""
    monkeypatch.setattr(module, "EVERY_SECONDS", 0)
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0}):
        yield threading.Semaphore(0)


def test_it_starts_with_the_first_call_and_is_the_only_one(beats):
    pulse = Pulse("apiguard-tests", beats.release)
    assert not pulse.is_running
    pulse.wake()
    first = pulse._thread
    assert first.daemon
    assert beats.acquire(timeout=SECONDS_TO_WAIT)
    pulse.wake()
    assert beats.acquire(timeout=SECONDS_TO_WAIT)
    assert pulse._thread is first


def test_without_a_max_age_there_is_no_thread():
    pulse = Pulse("apiguard-tests", lambda: None)
    pulse.wake()
    pulse.hurry()
    assert not pulse.is_running


def test_a_thread_that_cannot_be_had_is_tried_for_again(beats, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    pulse = Pulse("apiguard-tests", beats.release)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        pulse.wake()
    assert not pulse.is_running
    pulse.wake()
    assert beats.acquire(timeout=SECONDS_TO_WAIT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_by_an_error_is_replaced(beats):
    errors = iter([ZeroDivisionError])

    def beat():
        for error in errors:
            raise error
        beats.release()

    pulse = Pulse("apiguard-tests", beat)
    pulse.wake()
    pulse._thread.join(SECONDS_TO_WAIT)
    pulse.wake()
    assert beats.acquire(timeout=SECONDS_TO_WAIT)


def test_it_beats_by_itself_when_its_patience_ends(beats):
    waits = iter([0, 0])
    pulse = Pulse("apiguard-tests", beats.release, lambda: next(waits, None))
    pulse.wake()
    for _ in range(2):
        assert beats.acquire(timeout=SECONDS_TO_WAIT)


def test_it_can_be_hurried(beats, monkeypatch):
    monkeypatch.setattr(module, "EVERY_SECONDS", 3600)
    pulse = Pulse("apiguard-tests", beats.release)
    pulse.wake()
    pulse.hurry()
    assert beats.acquire(timeout=SECONDS_TO_WAIT)


def test_a_forked_process_starts_with_no_thread(beats):
    pulse = Pulse("apiguard-tests", beats.release)
    pulse.wake()
    pulse.forget()
    assert not pulse.is_running
