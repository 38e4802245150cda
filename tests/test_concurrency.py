"""Threads that wait with a bound, and single flight; the circuit breaker has a file of its own."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from apiguard import concurrency as module
from apiguard.concurrency import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Busy,
    CircuitBreaker,
    DaemonThreads,
    SingleFlight,
    TimedOut,
    next_pause,
    wait,
)

LONG = 60


@pytest.fixture
def threads():
    return DaemonThreads("tests", most=2, max_queue=2)


@pytest.fixture
def stuck(threads):
    """Every thread waits, until the test ends."""
    let_go = threading.Event()
    reached = [threading.Event() for _ in range(2)]

    def hang(number):
        reached[number].set()
        let_go.wait(LONG)

    for number in range(2):
        threads.submit(lambda number=number: hang(number), lambda *_: None)
        assert reached[number].wait(LONG)
    yield let_go
    let_go.set()


def test_a_call_returns_what_the_work_returned(threads):
    assert threads.call(lambda: 42, LONG) == 42
    assert threads.call(lambda: None, LONG) is None


def test_a_call_raises_what_the_work_raised(threads):
    with pytest.raises(ZeroDivisionError):
        threads.call(lambda: 1 / 0, LONG)
    assert threads.call(lambda: 1, LONG) == 1


def test_work_is_done_by_another_thread_and_mostly_by_the_same(threads):
    names = {threads.call(threading.get_ident, LONG) for _ in range(20)}
    assert threading.get_ident() not in names
    assert len(names) <= 2


def test_work_that_nobody_began_in_time_is_withdrawn(threads, stuck):
    done = []
    with pytest.raises(Busy):
        threads.call(lambda: done.append(1), 0.05)
    stuck.set()
    assert threads.call(lambda: 1, LONG) == 1
    assert done == []


def test_work_that_did_not_end_in_time_is_another_thing(threads):
    let_go = threading.Event()
    with pytest.raises(TimedOut):
        threads.call(lambda: let_go.wait(LONG), 0.1)
    let_go.set()


def test_work_beyond_the_queue_is_refused_at_once(threads, stuck):
    for _ in range(2):
        threads.submit(lambda: None, lambda *_: None)
    with pytest.raises(Busy):
        threads.call(lambda: None, LONG)


def test_work_that_waited_its_turn_is_done_in_the_end(threads, stuck):
    done = threading.Event()
    threads.submit(lambda: None, lambda *_: done.set())
    stuck.set()
    assert done.wait(LONG)


def test_threads_without_work_end_and_others_start(threads, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(threads, "end", ended.set)
    thread = threads.call(threading.current_thread, LONG)
    thread.join(LONG)
    assert not thread.is_alive()
    assert ended.is_set()
    assert threads.call(lambda: 1, LONG) == 1


def test_without_a_thread_nobody_waits(threads, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Busy):
            threads.call(lambda: 1, LONG)
    assert threads.call(lambda: 1, LONG) == 1


def test_a_wait_ends_when_the_event_is_set_and_when_time_is_over():
    event = threading.Event()
    assert not wait(event, 0)
    assert not wait(event, 0.05)
    event.set()
    assert wait(event, 0)
    assert wait(event, LONG)


@pytest.mark.parametrize(
    ("pause", "following"),
    [(0.0, FIRST_PAUSE), (1.0, 2.0), (4.0, 8.0), (8.0, LONGEST_PAUSE), (10.0, LONGEST_PAUSE)],
)
def test_pauses_double_up_to_the_longest(pause, following):
    assert next_pause(pause) == following


# -- single flight ------------------------------------------------------------------------


def test_of_many_threads_with_one_key_one_starts_a_flight_and_all_get_its_outcome():
    flights, started, together = SingleFlight(), [], threading.Barrier(16)

    def need(_):
        together.wait(LONG)
        flight, is_new = flights.join("a")
        if is_new:
            started.append(flight)
        together.wait(LONG)
        if is_new:
            flights.finish("a", flight, 42)
        assert flight.done.wait(LONG)
        return flight.outcome()

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(need, range(16))) == [42] * 16
    assert len(started) == 1


def test_flights_of_different_keys_are_apart_and_one_that_ended_is_not_joined():
    flights = SingleFlight()
    (first, _), (other, is_new) = flights.join("a"), flights.join("b")
    assert is_new
    assert flights.get("a") is first
    flights.finish("a", first, None, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        first.outcome()
    assert flights.get("a") is None
    later, is_new = flights.join("a")
    assert is_new
    # A flight that ends late ends no other.
    flights.finish("a", first, 1)
    assert flights.get("a") is later
    assert flights.get("b") is other


# -- fork -----------------------------------------------------------------------------------


def test_a_forked_child_has_threads_flights_and_locks_of_its_own(threads, stuck):
    flights, breaker = SingleFlight(), CircuitBreaker()
    flights.join("a")
    held, let_go = threading.Event(), threading.Event()

    def hold_the_locks():
        with flights._lock, breaker._lock, threads._changed:
            held.set()
            let_go.wait(LONG)

    holder = threading.Thread(target=hold_the_locks)
    holder.start()
    assert held.wait(LONG)
    child = os.fork()
    if child == 0:
        try:
            breaker.failed(breaker.allowed())
            _flight, is_new = flights.join("a")
            os._exit(0 if is_new and threads.call(lambda: 1, LONG) == 1 else 1)
        finally:
            os._exit(2)
    let_go.set()
    holder.join(LONG)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
