"""The buffer: bounded, written away from requests, and never in anybody's way."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone

from apiguard.models import ApiKey, Client, HourlyCount, PolicyState
from apiguard.models.numbers import HourlyCountQuerySet
from apiguard.telemetry import buffer as module
from apiguard.telemetry.buffer import Buffer

SECONDS_TO_WAIT = 10


@pytest.fixture
def key(db):
    key, _ = ApiKey.objects.issue(Client.objects.create(slug="a", name="A"), "k")
    return key


def counts():
    return {
        (row.route_pk, row.outcome, row.enforced): row.count for row in HourlyCount.objects.all()
    }


def used_at(key):
    return ApiKey.objects.get(pk=key.pk).last_used_at


def test_a_flush_writes_what_was_refused_by_route_and_reason(db):
    buffer = Buffer()
    for outcome, enforced in (("a", True), ("a", True), ("b", True), ("a", False)):
        buffer.refused(1, outcome, enforced)
    buffer.flush()
    assert counts() == {(1, "a", True): 2, (1, "b", True): 1, (1, "a", False): 1}


def test_what_was_flushed_is_not_written_again(db):
    buffer = Buffer()
    buffer.refused(1, "a", True)
    buffer.flush()
    buffer.flush()
    assert counts() == {(1, "a", True): 1}


def test_flushes_of_one_hour_add_up(db):
    for _ in range(3):
        buffer = Buffer()
        buffer.refused(1, "a", True)
        buffer.flush()
    assert sum(counts().values()) == 3
    assert all(row.hour.minute == row.hour.second == 0 for row in HourlyCount.objects.all())


def test_a_flush_notes_when_keys_were_used_and_publishes_nothing(key):
    before = PolicyState.objects.get().revision
    buffer = Buffer()
    buffer.used(key.pk)
    buffer.flush()
    assert used_at(key) is not None
    assert PolicyState.objects.get().revision == before


@pytest.mark.parametrize(
    ("age", "written"),
    [
        pytest.param(timedelta(seconds=30), False, id="within a minute"),
        pytest.param(timedelta(minutes=2), True, id="after a minute"),
    ],
)
def test_the_last_use_is_written_once_a_minute(key, age, written):
    before = timezone.now() - age
    ApiKey.objects.touch([key.pk], before)
    buffer = Buffer()
    buffer.used(key.pk)
    buffer.flush()
    assert (used_at(key) != before) is written


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OperationalError("away"), id="the database is away"),
        pytest.param(AssertionError("SimpleTestCase"), id="the database is forbidden"),
    ],
)
def test_a_flush_that_fails_is_dropped_and_counted(key, monkeypatch, caplog, error):
    def fail(*args):
        raise error

    buffer = Buffer()
    with monkeypatch.context() as patch:
        patch.setattr("apiguard.models.keys.ApiKeyQuerySet.touch", fail)
        buffer.used(key.pk)
        buffer.refused(1, "a", True)
        buffer.refused(1, "a", True)
        buffer.flush()
    assert buffer.dropped == 3
    assert "2 refusals and 1 uses of keys are lost" in caplog.text
    buffer.flush()
    assert counts() == {}


def test_what_was_written_before_a_failure_is_not_counted_as_lost(db, monkeypatch):
    add = HourlyCountQuerySet.add

    def fail_at_b(self, at, route_pk, outcome, enforced, count):
        if outcome == "b":
            raise OperationalError("away")
        add(self, at, route_pk, outcome, enforced, count)

    monkeypatch.setattr(HourlyCountQuerySet, "add", fail_at_b)
    buffer = Buffer()
    for outcome in "abc":
        buffer.refused(1, outcome, True)
    buffer.flush()
    assert counts() == {(1, "a", True): 1}
    assert buffer.dropped == 2


def test_what_waits_is_bounded_and_known_entries_go_on_counting(db, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    buffer = Buffer()
    for number in range(4):
        buffer.refused(number, "a", True)
        buffer.used(number)
    buffer.refused(0, "a", True)
    assert buffer.dropped == 4
    buffer.flush()
    assert counts() == {(0, "a", True): 2, (1, "a", True): 1}


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "apiguard-telemetry"]


def test_without_a_max_age_there_is_no_thread():
    buffer = Buffer()
    before = threads()
    buffer.refused(1, "a", True)
    buffer.used(1)
    assert buffer._thread is None
    assert threads() == before


@pytest.fixture
def flushed(monkeypatch):
    """A buffer whose thread flushes at once, and only says that it did."""
    done = threading.Semaphore(0)
    monkeypatch.setattr(module, "EVERY_SECONDS", 0)
    monkeypatch.setattr(Buffer, "flush", lambda self: done.release())
    monkeypatch.setattr(module, "close_old_connections", lambda: None)
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0}):
        yield done


def test_the_thread_starts_with_the_first_entry_and_is_the_only_one(flushed):
    buffer = Buffer()
    assert buffer._thread is None
    buffer.used(1)
    first = buffer._thread
    assert first.daemon
    assert flushed.acquire(timeout=SECONDS_TO_WAIT)
    buffer.refused(1, "a", True)
    assert flushed.acquire(timeout=SECONDS_TO_WAIT)
    assert buffer._thread is first


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_by_an_error_is_replaced(flushed, monkeypatch):
    buffer = Buffer()
    with monkeypatch.context() as patch:
        patch.setattr(Buffer, "flush", lambda self: 1 / 0)
        buffer.used(1)
        buffer._thread.join(SECONDS_TO_WAIT)
    buffer.used(2)
    assert flushed.acquire(timeout=SECONDS_TO_WAIT)


def test_a_forked_process_starts_with_nothing():
    buffer = Buffer()
    buffer.refused(1, "a", True)
    buffer._reset()
    assert (len(buffer._refused), buffer._thread) == (0, None)
