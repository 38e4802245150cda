"""Signals about requests and the counter: sent away from requests, bounded, and not too often."""

from __future__ import annotations

import threading

import pytest
from django.test import override_settings

from apiguard.models import CounterOutage, Limit
from apiguard.signals import counter_away, counter_back, limit_reached
from apiguard.telemetry import background_signals as module
from apiguard.telemetry import outages
from apiguard.telemetry.background_signals import BackgroundSignals
from apiguard.telemetry.process import process_name

LIMITS = {"client": "acme", "tier": "free", "limits": ("per-minute",), "enforced": True}


@pytest.fixture
def received():
    """What receivers of the signals got, as (signal, sender, arguments, thread)."""
    got = []

    def receive(sender, signal, **arguments):
        got.append((signal, sender, arguments, threading.current_thread().name))

    signals = (counter_away, counter_back, limit_reached)
    for signal in signals:
        signal.connect(receive)
    yield got
    for signal in signals:
        signal.disconnect(receive)


def test_nothing_is_sent_before_the_queue_is_flushed(received):
    signals = BackgroundSignals()
    signals.limits_reached("client:1", **LIMITS)
    assert received == []
    signals.flush()
    ((signal, sender, arguments, _),) = received
    assert (signal, sender) == (limit_reached, Limit)
    assert arguments.pop("at") is not None
    assert arguments == {
        "principal": "client:1",
        "client": "acme",
        "tier": "free",
        "limit": "per-minute",
        "enforced": True,
    }


def test_a_limit_of_a_principal_is_announced_once_a_minute(received, monkeypatch):
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    signals = BackgroundSignals()
    for principal in ("a", "b", "a", "a"):
        signals.limits_reached(principal, **LIMITS)
    signals.limits_reached("a", **LIMITS | {"limits": ("per-minute", "per-day")})
    now = 161.0
    signals.limits_reached("a", **LIMITS)
    signals.flush()
    assert [(arguments["principal"], arguments["limit"]) for _, _, arguments, _ in received] == [
        ("a", "per-minute"),
        ("b", "per-minute"),
        ("a", "per-day"),
        ("a", "per-minute"),
    ]


def test_the_store_is_announced_as_it_goes_and_comes(received, monkeypatch):
    signals = BackgroundSignals()
    monkeypatch.setattr(outages, "background_signals", signals)
    outages.record_change(True)
    outages.record_change(False)
    signals.flush()
    assert [signal for signal, *_ in received] == [counter_away, counter_back]
    assert {sender for _, sender, *_ in received} == {CounterOutage}
    assert {arguments["process"] for _, _, arguments, _ in received} == {process_name()}


def test_without_receivers_nothing_waits_and_no_thread_starts():
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0}):
        signals = BackgroundSignals()
        signals.limits_reached("a", **LIMITS)
        signals.counter_changed(True)
    assert (len(signals._queue), signals._thread.is_running) == (0, False)


def test_a_full_queue_drops_and_counts(received, monkeypatch):
    monkeypatch.setattr(module, "MAX_QUEUED", 2)
    signals = BackgroundSignals()
    for principal in "abc":
        signals.limits_reached(principal, **LIMITS)
    signals.flush()
    assert ([given["principal"] for _, _, given, _ in received], signals.dropped) == (["a", "b"], 1)


def test_a_receiver_that_raises_stops_no_other_signal(received, caplog):
    def fail(**_):
        raise RuntimeError("not today")

    limit_reached.connect(fail)
    try:
        signals = BackgroundSignals()
        for principal in "ab":
            signals.limits_reached(principal, **LIMITS)
        signals.flush()
    finally:
        limit_reached.disconnect(fail)
    assert len(received) == 2
    assert "not today" in caplog.text


@pytest.mark.django_db
def test_a_thread_sends_where_there_are_threads(received, monkeypatch):
    monkeypatch.setattr("apiguard.telemetry.periodic.EVERY_SECONDS", 0.0)
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0}):
        signals = BackgroundSignals()
        signals.limits_reached("a", **LIMITS)
        signals.finish(10)
    assert [thread for *_, thread in received] == ["apiguard-signals"]
