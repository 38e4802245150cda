from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.concurrency import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, CircuitBreaker, Phase


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock) -> CircuitBreaker:
    return CircuitBreaker(clock=clock)


def open_up(breaker: CircuitBreaker) -> None:
    for _ in range(FAILURES):
        fail(breaker)


def fail(breaker: CircuitBreaker) -> None:
    breaker.failed(allowed(breaker))


def allowed(breaker: CircuitBreaker) -> Phase:
    phase = breaker.allowed()
    assert phase is not None
    return phase


def test_a_closed_circuit_lets_every_call_through(breaker):
    for _ in range(10):
        breaker.succeeded(allowed(breaker))
    assert not breaker.away


def test_failures_in_a_row_open_the_circuit(breaker):
    for _ in range(FAILURES - 1):
        fail(breaker)
        assert not breaker.away
    fail(breaker)
    assert breaker.away
    assert breaker.allowed() is None


def test_failures_with_a_success_between_them_do_not(breaker):
    for _ in range(5):
        for _ in range(FAILURES - 1):
            fail(breaker)
        breaker.succeeded(allowed(breaker))
    assert not breaker.away


def test_after_a_pause_one_caller_probes_alone(breaker, clock):
    open_up(breaker)
    clock.now += FIRST_PAUSE - 0.001
    assert breaker.allowed() is None
    clock.now += 0.001
    assert breaker.allowed() is not None
    assert breaker.allowed() is None


def test_a_probe_that_succeeds_closes_the_circuit_for_all(breaker, clock):
    open_up(breaker)
    clock.now += FIRST_PAUSE
    breaker.succeeded(allowed(breaker))
    assert not breaker.away
    for _ in range(FAILURES - 1):
        fail(breaker)
    assert not breaker.away


def test_probes_that_fail_double_the_pause_up_to_the_longest(breaker, clock):
    open_up(breaker)
    for pause in (FIRST_PAUSE, 2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE):
        clock.now += pause - 0.001
        assert breaker.allowed() is None
        clock.now += 0.001
        fail(breaker)
    clock.now += LONGEST_PAUSE
    breaker.succeeded(allowed(breaker))
    open_up(breaker)
    clock.now += FIRST_PAUSE
    assert breaker.allowed() is not None


def test_a_probe_that_never_reports_is_given_up(breaker, clock):
    open_up(breaker)
    clock.now += FIRST_PAUSE
    lost = allowed(breaker)
    clock.now += LONGEST_PAUSE - 0.001
    assert breaker.allowed() is None
    clock.now += 0.001
    probe = allowed(breaker)
    assert breaker.allowed() is None
    breaker.failed(lost)
    assert breaker.allowed() is None
    breaker.succeeded(probe)
    assert not breaker.away


@pytest.mark.parametrize("report", [CircuitBreaker.succeeded, CircuitBreaker.failed])
def test_a_call_from_before_the_circuit_opened_says_nothing_about_it(breaker, clock, report):
    late = allowed(breaker)
    open_up(breaker)
    report(breaker, late)
    assert breaker.away
    assert breaker.allowed() is None
    clock.now += FIRST_PAUSE
    probe = allowed(breaker)
    report(breaker, late)
    assert breaker.away
    assert breaker.allowed() is None
    breaker.succeeded(probe)
    for _ in range(FAILURES):
        report(breaker, late)
    assert not breaker.away


def test_changes_are_reported_once_and_in_order(clock):
    told: list[bool] = []
    breaker = CircuitBreaker(told.append, clock)
    late = [allowed(breaker) for _ in range(5)]
    for phase in late:
        breaker.failed(phase)
    assert told == [True]
    clock.now += FIRST_PAUSE
    fail(breaker)
    assert told == [True]
    clock.now += 2 * FIRST_PAUSE
    breaker.succeeded(allowed(breaker))
    assert told == [True, False]


def test_a_callback_may_read_the_state_of_the_breaker(clock):
    seen: list[bool] = []
    breaker = CircuitBreaker(lambda away: seen.append(breaker.away), clock)
    open_up(breaker)
    clock.now += FIRST_PAUSE
    breaker.succeeded(allowed(breaker))
    assert seen == [True, False]


def test_of_many_threads_one_probes(clock):
    breaker = CircuitBreaker(clock=clock)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(16) as pool:
            open_up(breaker)
            for _ in range(20):
                clock.now += LONGEST_PAUSE
                phases = list(pool.map(lambda _: breaker.allowed(), range(64)))
                probes = [phase for phase in phases if phase is not None]
                assert len(probes) == 1
                breaker.failed(probes[0])
    finally:
        sys.setswitchinterval(before)


def test_calls_in_flight_are_all_that_ask_a_store_that_hangs(clock):
    breaker, asked, together = CircuitBreaker(clock=clock), [], threading.Barrier(8)

    def call(_: int) -> None:
        asked.append(allowed(breaker))
        together.wait(30)
        breaker.failed(asked[0])
        together.wait(30)
        asked.extend(phase for _ in range(50) if (phase := breaker.allowed()))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(8)))
    assert len(asked) == 8


@given(
    st.lists(st.tuples(st.sampled_from(["ask", "good", "bad", "wait"]), st.floats(0, 12))).map(list)
)
def test_whatever_happens_at_most_one_unheard_probe_is_out_and_recovery_is_near(events):
    clock = Clock()
    breaker, out = CircuitBreaker(clock=clock), []
    for event, number in events:
        if event == "wait":
            clock.now += number
        elif event == "ask":
            was_away = breaker.away
            phase = breaker.allowed()
            assert phase is not None or was_away
            out += [phase] if phase is not None else []
        elif out:
            (breaker.succeeded if event == "good" else breaker.failed)(
                out.pop(int(number) % len(out))
            )
    clock.now += LONGEST_PAUSE
    breaker.succeeded(allowed(breaker))
    assert not breaker.away


@pytest.mark.parametrize(
    ("failures", "opened"),
    [
        pytest.param(1, [True], id="the first failure opens the circuit"),
        pytest.param(2, [False, True], id="the second does"),
    ],
)
def test_the_caller_learns_that_its_report_changed_the_circuit(clock, failures, opened):
    breaker = CircuitBreaker(clock=clock, failures=failures)
    assert [breaker.failed(allowed(breaker)) for _ in opened] == opened
    clock.now += FIRST_PAUSE
    assert breaker.succeeded(allowed(breaker))
    assert not breaker.succeeded(allowed(breaker))


def test_a_probe_that_learnt_nothing_lets_another_follow_after_a_pause(breaker, clock):
    breaker.learnt_nothing(allowed(breaker))
    assert not breaker.away
    open_up(breaker)
    clock.now += FIRST_PAUSE
    breaker.learnt_nothing(allowed(breaker))
    assert breaker.allowed() is None
    clock.now += 2 * FIRST_PAUSE
    breaker.succeeded(allowed(breaker))
    assert not breaker.away


def test_a_breaker_that_was_closed_by_hand_has_forgotten_its_failures(breaker):
    open_up(breaker)
    breaker.close()
    for _ in range(FAILURES - 1):
        fail(breaker)
    assert not breaker.away
