"""Refused requests are written in the background, pruned by the settings, and never waited for."""

from __future__ import annotations

import time

import pytest
from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone

from apiguard.models import HourlyCount, PeriodicTask, Refusal
from apiguard.telemetry import refusal_buffer as module
from apiguard.telemetry.buffer import Buffer
from apiguard.telemetry.refusal_buffer import RefusalBuffer, RefusalKind, RefusedRequest

pytestmark = pytest.mark.django_db
KIND = RefusalKind(7, "no_credential", True)


def request(name="one", **fields):
    given = {
        "at": timezone.now(),
        "request_id": name,
        "method": "GET",
        "path": "/",
        "status": 401,
        "enforced": True,
        "outcome": "no_credential",
        "reason": "none was sent",
        "principal": "ip:192.0.2.1",
        "is_identified": False,
        "revision": 1,
        "route_pk": 7,
    }
    return RefusedRequest(**{**given, **fields})


def add(buffer, number=1):
    for index in range(number):
        buffer.add(KIND, "ip:192.0.2.1", is_identified=False, build=lambda i=index: request(str(i)))


@pytest.fixture(autouse=True)
def _one_second(monkeypatch):
    """All requests of a test come in one second."""
    at = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: at)


def test_a_flood_becomes_twenty_rows_and_a_number():
    buffer = RefusalBuffer()
    add(buffer, 100)
    buffer.flush()
    assert Refusal.objects.count() == 20
    assert HourlyCount.objects.get().unkept == 80
    assert buffer.is_empty


@pytest.mark.parametrize(
    ("members", "left"),
    [({"REFUSALS_KEEP_ROWS": 3}, 3), ({"REFUSALS_KEEP_DAYS": 1}, 5), ({}, 5)],
)
def test_a_flush_prunes_what_the_settings_do_not_keep(members, left, monkeypatch):
    monkeypatch.setattr(module, "PRUNED_AT_ONCE", 2)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)
    with override_settings(APIGUARD=members):
        buffer = RefusalBuffer()
        add(buffer, 5)
        buffer.flush()
    assert Refusal.objects.count() == left
    assert PeriodicTask.objects.get().name == "prune refusals"


def test_a_process_prunes_only_if_it_is_its_turn():
    assert PeriodicTask.objects.claim("prune refusals", timezone.now(), module.PRUNE_EVERY)
    with override_settings(APIGUARD={"REFUSALS_KEEP_ROWS": 1}):
        buffer = RefusalBuffer()
        add(buffer, 5)
        buffer.flush()
    assert Refusal.objects.count() == 5


def test_rows_that_cannot_be_written_are_counted_instead(monkeypatch, caplog):
    def away(*args):
        raise OperationalError("away")

    monkeypatch.setattr("apiguard.models.refusals.RefusalQuerySet.insert", away)
    buffer = RefusalBuffer()
    add(buffer, 25)
    buffer.flush()
    assert (buffer.dropped, HourlyCount.objects.get().unkept) == (20, 25)
    assert "20 rows of refused requests are lost: away" in caplog.text


def test_the_thread_runs_again_for_the_second_that_lasts(monkeypatch):
    woken = []
    buffer = Buffer()
    monkeypatch.setattr(buffer._thread, "wake", lambda: woken.append(True))
    add(buffer.refusals, 3)
    buffer._run()
    assert (Refusal.objects.count(), len(woken)) == (0, 1)
    later = module.time.monotonic() + 1
    monkeypatch.setattr(module.time, "monotonic", lambda: later)
    buffer._run()
    assert (Refusal.objects.count(), len(woken)) == (3, 1)


def test_a_process_that_ends_writes_the_second_that_lasts_too():
    buffer = Buffer()
    add(buffer.refusals, 3)
    buffer.finish(0)
    buffer._run()
    assert Refusal.objects.count() == 3
