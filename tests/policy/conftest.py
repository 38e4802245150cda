"""A process that holds no policy yet, on a clock and a database that tests control."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from django.db import OperationalError
from django.test.utils import override_settings

from apiguard.policy import clock as own_clock
from apiguard.policy import holder as holder_module
from apiguard.policy import load
from apiguard.policy.holder import PolicyHolder
from tests.policy.processes import AGE, SECONDS_TO_WAIT, STALENESS, Clock


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(own_clock, "seconds", clock.monotonic)
    return clock


@pytest.fixture
def ages():
    with override_settings(APIGUARD={"POLICY_MAX_AGE": AGE, "POLICY_MAX_STALENESS": STALENESS}):
        yield


@pytest.fixture
def holder(transactional_db, clock, ages, monkeypatch):
    """A process that holds nothing yet, and reads in the calling thread, whatever the database."""
    monkeypatch.setattr(holder_module, "must_run_inline", lambda alias: True)
    return PolicyHolder()


@pytest.fixture
def away(monkeypatch):
    """Makes the database go away inside a block."""

    @contextmanager
    def away():
        def fail():
            raise OperationalError("away")

        with monkeypatch.context() as patch:
            patch.setattr(load, "state", fail)
            patch.setattr(load, "was_migrated", fail)
            yield

    return away


@pytest.fixture
def blocked(monkeypatch):
    """Looks wait, once ``arm()`` was called, until ``let_go`` is set."""
    look, reached, let_go = load.state, threading.Event(), threading.Event()

    def wait_and_look():
        reached.set()
        assert let_go.wait(SECONDS_TO_WAIT)
        return look()

    yield SimpleNamespace(
        arm=lambda: monkeypatch.setattr(load, "state", wait_and_look),
        reached=reached,
        let_go=let_go,
    )
    let_go.set()
