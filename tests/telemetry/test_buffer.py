"""The buffer: bounded, written away from requests, and never in anybody's way."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone

from apiguard.models import (
    ApiKey,
    Client,
    CounterFault,
    CounterOutage,
    HourlyCount,
    PolicyState,
    ShadowCount,
    UntrustedProxy,
)
from apiguard.models.hourly_counts import HourlyCountQuerySet
from apiguard.models.incidents import REPEATED_AFTER
from apiguard.telemetry import buffer as module
from apiguard.telemetry import periodic
from apiguard.telemetry.buffer import Buffer
from apiguard.telemetry.process import process_name

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
        patch.setattr("apiguard.models.key_queryset.ApiKeyQuerySet.touch", fail)
        buffer.used(key.pk)
        buffer.refused(1, "a", True)
        buffer.refused(1, "a", True)
        buffer.flush()
    assert buffer.dropped == 3
    lost = "2 refusals and 1 uses of keys, 0 requests over shadow limits"
    assert f"{lost}, 0 digests, 0 proxies and 0 headers are lost" in caplog.text
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
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    buffer = Buffer()
    for number in range(4):
        buffer.refused(number, "a", True)
        buffer.used(number)
    buffer.refused(0, "a", True)
    assert buffer.dropped == 4
    buffer.flush()
    assert counts() == {(0, "a", True): 2, (1, "a", True): 1}


def shadows():
    found = Counter()
    for row in ShadowCount.objects.all():  # Of two hours, if the clock strikes meanwhile.
        found[row.limit_pk, row.principal] += row.count
    return found


def test_a_flush_writes_what_shadow_limits_would_have_refused(db):
    before = PolicyState.objects.count()
    for _ in range(2):
        buffer = Buffer()
        buffer.shadow(1, "client:7")
        buffer.shadow(2, "client:7")
        buffer.shadow(1, "ip:192.0.2.1")
        buffer.flush()
    assert shadows() == {(1, "client:7"): 2, (2, "client:7"): 2, (1, "ip:192.0.2.1"): 2}
    assert PolicyState.objects.count() == before


def test_more_principals_than_there_is_room_for_are_counted_together(db, monkeypatch):
    monkeypatch.setattr(module, "MAX_SHADOWED", 2)
    buffer = Buffer()
    for number in (1, 2, 3, 4, 1):
        buffer.shadow(9, f"ip:192.0.2.{number}")
    buffer.flush()
    assert shadows() == {(9, "ip:192.0.2.1"): 2, (9, "ip:192.0.2.2"): 1, (9, ""): 2}
    assert buffer.dropped == 0


def test_what_is_counted_together_is_bounded_too(monkeypatch):
    monkeypatch.setattr(module, "MAX_SHADOWED", 0)
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    buffer = Buffer()
    for limit_pk in range(5):
        buffer.shadow(limit_pk, "ip:192.0.2.1")
    assert (buffer._pending.size, buffer.dropped) == (2, 3)


def test_a_principal_of_any_length_can_be_written(db):
    buffer = Buffer()
    buffer.shadow(1, "jwt:1:" + "s" * 1000)
    buffer.flush()
    assert ShadowCount.objects.get().count == 1


def outages():
    rows = CounterOutage.objects.order_by("began_at", "id")
    return [(row.began_at, row.ended_at) for row in rows]


def test_an_outage_is_written_with_its_end_and_publishes_nothing(db):
    before = PolicyState.objects.count()
    began, ended = timezone.now() - timedelta(seconds=9), timezone.now()
    buffer = Buffer()
    buffer.outage(True, began)
    buffer.flush()
    assert outages() == [(began, None)]
    buffer.outage(False, ended)
    buffer.flush()
    assert outages() == [(began, ended)]
    assert PolicyState.objects.count() == before
    assert CounterOutage.objects.get().process == process_name()


def test_an_outage_that_could_not_be_written_waits_for_the_next_flush(db, monkeypatch):
    def fail(*args):
        raise OperationalError("away")

    began, ended = timezone.now() - timedelta(seconds=9), timezone.now()
    buffer = Buffer()
    buffer.outage(True, began)
    buffer.outage(False, ended)
    with monkeypatch.context() as patch:
        patch.setattr("apiguard.models.incidents.CounterOutageQuerySet.note", fail)
        buffer.flush()
    assert outages() == []
    buffer.flush()
    assert outages() == [(began, ended)]


def test_outages_that_wait_are_bounded_and_the_newest_are_kept(db, monkeypatch):
    monkeypatch.setattr(module, "MAX_OUTAGES", 2)
    now = timezone.now()
    buffer = Buffer()
    for number in range(6):
        buffer.outage(number % 2 == 0, now + timedelta(seconds=number))
    buffer.flush()
    assert outages() == [(now + timedelta(seconds=4), now + timedelta(seconds=5))]


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        pytest.param(timedelta(0), False, id="it was said a moment ago"),
        pytest.param(REPEATED_AFTER, True, id="a minute later"),
    ],
)
def test_a_process_goes_on_saying_that_the_store_is_away(db, ago, said):
    began = timezone.now() - ago
    buffer = Buffer()
    buffer.outage(True, began)
    buffer.flush()
    assert (CounterOutage.objects.get().seen_at > began) is said


def test_a_proxy_is_written_once_with_when_it_was_seen(db):
    for _ in range(2):
        buffer = Buffer()
        buffer.proxy("10.0.0.1")
        buffer.flush()
    row = UntrustedProxy.objects.get()
    assert row.address == "10.0.0.1"
    assert row.first_seen < row.last_seen


def test_faults_are_counted_by_name_and_bounded(db, monkeypatch):
    monkeypatch.setattr(module, "MAX_FAULTS", 2)
    buffer = Buffer()
    for name in ("a", "b", "a", "c", "a"):
        buffer.fault("defect", name)
    assert buffer.dropped == 1
    buffer.flush()
    buffer.fault("defect", "x" * 1000)
    buffer.flush()
    rows = CounterFault.objects.order_by("name").values_list("name", "count")
    assert list(rows) == [("a", 3), ("b", 1), ("x" * CounterFault.MAX_NAME, 1)]


def test_a_flush_forgets_what_nobody_looks_at_any_more_once_an_hour(db, monkeypatch):
    monkeypatch.setattr(module, "hour_of", lambda at: "this hour")
    old, now = timezone.now() - timedelta(days=40), timezone.now()

    def make(at):
        ShadowCount.objects.add(at, 1, "a", 1)
        UntrustedProxy.objects.seen(f"10.0.0.{at.day}", at)
        CounterOutage.objects.create(process="p", began_at=at, seen_at=at)
        CounterFault.objects.add("pool", f"{at.day}", 1, at)

    make(old)
    make(now)
    buffer = Buffer()
    buffer.flush()
    models = (ShadowCount, UntrustedProxy, CounterOutage, CounterFault)
    assert [model.objects.count() for model in models] == [1, 1, 1, 1]
    make(old)
    buffer.flush()
    assert ShadowCount.objects.count() == 2


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "apiguard-telemetry"]


def test_without_a_max_age_there_is_no_thread():
    buffer = Buffer()
    before = threads()
    buffer.refused(1, "a", True)
    buffer.used(1)
    assert not buffer._thread.is_running
    assert threads() == before


@pytest.fixture
def flushed(monkeypatch):
    """A buffer whose thread flushes at once, and only says that it did."""
    done = threading.Semaphore(0)
    monkeypatch.setattr(periodic, "EVERY_SECONDS", 0)
    monkeypatch.setattr(Buffer, "flush", lambda self, *, everything: done.release())
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 1.0}):
        yield done


def test_the_thread_starts_with_the_first_entry_and_is_the_only_one(flushed):
    buffer = Buffer()
    assert not buffer._thread.is_running
    buffer.used(1)
    first = buffer._thread._thread
    assert first.daemon
    assert flushed.acquire(timeout=SECONDS_TO_WAIT)
    buffer.refused(1, "a", True)
    assert flushed.acquire(timeout=SECONDS_TO_WAIT)
    assert buffer._thread._thread is first


def test_while_the_store_is_away_the_thread_flushes_without_being_called(flushed, monkeypatch):
    monkeypatch.setattr(module, "REPEATED_AFTER", timedelta(0))
    buffer = Buffer()
    buffer.outage(True, timezone.now())
    for _ in range(3):
        assert flushed.acquire(timeout=SECONDS_TO_WAIT)
    buffer.outage(False, timezone.now())


def test_a_forked_process_starts_with_nothing():
    buffer = Buffer()
    buffer.refused(1, "a", True)
    buffer.outage(True, timezone.now())
    buffer._reset()
    assert (buffer._pending.size, buffer._away, buffer._thread.is_running) == (0, False, False)
    assert not buffer._outages


@pytest.mark.django_db
def test_counts_of_refusals_are_not_kept_for_ever():
    now = timezone.now()
    for days in (0, 29, 31):
        HourlyCount.objects.add(now - timedelta(days=days), 1, "no_credential", True, 1)
    HourlyCount.objects.forget(now)
    assert HourlyCount.objects.count() == 2
