"""The store goes away and comes back: one line in the log, one entry in the buffer."""

from __future__ import annotations

import logging

import pytest

from apiguard.concurrency import FAILURES, CircuitBreaker
from apiguard.counters.breaker import Fault
from apiguard.telemetry import outages


@pytest.fixture
def noted(monkeypatch):
    found = []
    monkeypatch.setattr(outages.buffer, "outage", lambda away, at: found.append(away))
    return found


def test_each_change_is_logged_and_noted(noted, caplog):
    outages.record_change(True)
    outages.record_change(False)
    away, back = caplog.records
    assert away.getMessage() == (
        "The counter's store does not answer; limits are decided as each one says "
        "(local, open, closed)."
    )
    assert "answers again" in back.getMessage()
    assert {away.levelno, back.levelno} == {logging.WARNING}
    assert noted == [True, False]


def test_a_breaker_logs_once_per_change(noted):
    breaker = CircuitBreaker(on_change=outages.record_change, clock=lambda: 0.0)
    for _ in range(2 * FAILURES):
        phase = breaker.allowed()
        if phase is not None:
            breaker.failed(phase)
    assert noted == [True]


def test_a_fault_is_counted_under_its_name(monkeypatch, caplog):
    found = []
    monkeypatch.setattr(outages.buffer, "fault", lambda *given: found.append(given))
    outages.record_fault(Fault("defect", "KeyError in a.py:1"))
    assert found == [("defect", "KeyError in a.py:1")]

    def fail(*args):
        raise RuntimeError("no thread")

    monkeypatch.setattr(outages.buffer, "fault", fail)
    outages.record_fault(Fault("pool", "exhausted"))
    assert "cannot be recorded" in caplog.text


def test_what_cannot_be_noted_harms_no_request(monkeypatch, caplog):
    def fail(*args):
        raise RuntimeError("no thread")

    monkeypatch.setattr(outages.buffer, "outage", fail)
    outages.record_change(True)
    assert "cannot be recorded" in caplog.text
