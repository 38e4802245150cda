"""The thread: started by the first call, at most one, replaced when it ended, absent in tests."""

from __future__ import annotations

import threading

import pytest
from django.test import override_settings

from apiguard.telemetry import periodic as module
from apiguard.telemetry.periodic import PeriodicThread

SECONDS_TO_WAIT = 10


@pytest.fixture
def beats(monkeypatch):
    """A periodic that beats at once, and only says that it did."""
    monkeypatch.setattr(module, "EVERY_SECONDS", 0)
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0}):
        yield threading.Semaphore(0)


def test_it_starts_with_the_first_call_and_is_the_only_one(beats):
    periodic = PeriodicThread("apiguard-tests", beats.release)
    assert not periodic.is_running
    periodic.wake()
    first = periodic._thread
    assert first.daemon
    assert beats.acquire(timeout=SECONDS_TO_WAIT)
    periodic.wake()
    assert beats.acquire(timeout=SECONDS_TO_WAIT)
    assert periodic._thread is first


def test_without_a_max_age_there_is_no_thread():
    periodic = PeriodicThread("apiguard-tests", lambda: None)
    periodic.wake()
    periodic.run_now()
    assert not periodic.is_running


def test_a_thread_that_cannot_be_had_is_tried_for_again(beats, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    periodic = PeriodicThread("apiguard-tests", beats.release)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        periodic.wake()
    assert not periodic.is_running
    periodic.wake()
    assert beats.acquire(timeout=SECONDS_TO_WAIT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_by_an_error_is_replaced(beats):
    errors = iter([ZeroDivisionError])

    def beat():
        for error in errors:
            raise error
        beats.release()

    periodic = PeriodicThread("apiguard-tests", beat)
    periodic.wake()
    periodic._thread.join(SECONDS_TO_WAIT)
    periodic.wake()
    assert beats.acquire(timeout=SECONDS_TO_WAIT)


def test_it_beats_by_itself_when_its_patience_ends(beats):
    waits = iter([0, 0])
    periodic = PeriodicThread("apiguard-tests", beats.release, lambda: next(waits, None))
    periodic.wake()
    for _ in range(2):
        assert beats.acquire(timeout=SECONDS_TO_WAIT)


def test_it_can_be_hurried(beats, monkeypatch):
    monkeypatch.setattr(module, "EVERY_SECONDS", 3600)
    periodic = PeriodicThread("apiguard-tests", beats.release)
    periodic.wake()
    periodic.run_now()
    assert beats.acquire(timeout=SECONDS_TO_WAIT)


def test_a_forked_process_starts_with_no_thread(beats):
    periodic = PeriodicThread("apiguard-tests", beats.release)
    periodic.wake()
    periodic.forget()
    assert not periodic.is_running


def test_a_run_that_is_waited_for_began_after_it_was_needed(beats):
    seen, value = [], [0]

    def run():
        seen.append(value[0])
        beats.release()

    periodic = PeriodicThread("apiguard-tests", run)
    assert not periodic.run_and_wait(SECONDS_TO_WAIT)
    periodic.wake()
    assert beats.acquire(timeout=SECONDS_TO_WAIT)
    for number in range(1, 20):
        value[0] = number
        assert periodic.run_and_wait(SECONDS_TO_WAIT)
        assert seen[-1] == number


def test_a_run_that_hangs_is_not_waited_for_without_a_bound(beats):
    let_go, reached = threading.Event(), threading.Event()

    def run():
        reached.set()
        let_go.wait(SECONDS_TO_WAIT)

    periodic = PeriodicThread("apiguard-tests", run)
    periodic.wake()
    assert reached.wait(SECONDS_TO_WAIT)
    assert not periodic.run_and_wait(0.05)
    let_go.set()


def test_no_connection_stays_open_while_the_thread_sleeps(beats, monkeypatch):
    closed_by = []
    monkeypatch.setattr(
        module.connections, "close_all", lambda: closed_by.append(threading.current_thread())
    )
    periodic = PeriodicThread("apiguard-tests", lambda: None)
    periodic.wake()
    assert periodic.run_and_wait(SECONDS_TO_WAIT)
    assert set(closed_by) == {periodic._thread}
