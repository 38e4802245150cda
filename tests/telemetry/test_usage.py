"""Counting usage: a dictionary entry per request, bounded, and nothing lost without a word."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError
from django.test import override_settings

from apiguard.models import ApiKey, Client, Limit, Route, Tier, Usage
from apiguard.models import usage as table
from apiguard.models.usage import LOST, NOBODY, OTHERS
from apiguard.telemetry import usage as module
from apiguard.telemetry.usage import UsageRecorder, usage

pytestmark = pytest.mark.django_db


def stored():
    return {
        (row.route_pk, row.client_pk, row.key_pk, row.outcome): row.requests
        for row in Usage.objects.all()
    }


@pytest.fixture
def recorder():
    return UsageRecorder()


def test_a_flush_writes_what_was_counted_and_the_next_one_adds_to_it(recorder):
    for _flush in range(2):
        for _request in range(3):
            recorder.record(1, 2, 3, "admitted", True)
        recorder.record(1, NOBODY, NOBODY, "no_credential", True)
        recorder.flush()
    recorder.flush()
    assert stored() == {(1, 2, 3, "admitted"): 6, (1, 0, 0, "no_credential"): 2}


def test_many_threads_lose_no_request(recorder):
    def count():
        for _request in range(2_000):
            recorder.record(1, 2, 3, "admitted", True)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.flush()
    assert stored() == {(1, 2, 3, "admitted"): 8_000}


def test_beyond_the_bound_clients_and_keys_are_not_distinguished(recorder, monkeypatch):
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    for pk in range(1, 6):
        recorder.record(1, pk, pk, "admitted", True)
    recorder.flush()
    assert stored() == {
        **{(1, pk, pk, "admitted"): 1 for pk in (1, 2, 3)},
        (1, OTHERS, OTHERS, "admitted"): 2,
    }


def test_what_fits_nowhere_is_counted_as_lost(recorder, monkeypatch):
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    for route_pk in range(1, 8):
        recorder.record(route_pk, 1, 1, "admitted", True)
    assert recorder.dropped == 3
    recorder.flush()
    assert stored()[0, 0, 0, LOST] == 3


def test_a_flush_that_fails_is_lost_and_the_next_one_says_how_many_requests(
    recorder, monkeypatch, caplog
):
    def fail(*_):
        raise OperationalError("gone")

    for _request in range(5):
        recorder.record(1, 2, 3, "admitted", True)
    with monkeypatch.context() as patch:
        patch.setattr(table, "_upsert", fail)
        recorder.flush()
    assert "The usage numbers of 5 requests are lost: gone" in caplog.text
    assert (stored(), recorder.dropped) == ({}, 5)
    recorder.record(1, 2, 3, "admitted", True)
    recorder.flush()
    assert stored() == {(1, 2, 3, "admitted"): 1, (0, 0, 0, LOST): 5}


def test_of_a_flush_that_fails_half_way_only_the_rest_is_lost(recorder, monkeypatch):
    monkeypatch.setattr(table, "ROWS_AT_ONCE", 2)
    real, calls = table._upsert, []

    def fail_later(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise OperationalError("gone")
        return real(*arguments)

    monkeypatch.setattr(table, "_upsert", fail_later)
    for pk in range(1, 6):
        recorder.record(1, pk, pk, "admitted", True)
    recorder.flush()
    assert (len(stored()), recorder.dropped) == (2, 3)


@override_settings(APIGUARD={"USAGE_KEEP_DAYS": 0})
def test_where_nothing_is_kept_nothing_is_written(recorder):
    recorder.record(1, 2, 3, "admitted", True)
    recorder.flush()
    assert stored() == {}


def test_without_a_max_age_there_is_no_thread(recorder):
    recorder.record(1, 2, 3, "admitted", True)
    assert not recorder._thread.is_running


# -- requests -----------------------------------------------------------------------


@pytest.fixture
def guarded(settings):
    """A route with a limit, and a key; what other tests counted is forgotten."""
    tier = Tier.objects.create(slug="t", name="T")
    Limit.objects.create(tier=tier, name="per-minute", amount=2, period=60)
    route = Route.objects.create(
        name="api", path_prefix="/api/plain", mode="enforce", access="credentials"
    )
    client = Client.objects.create(slug="acme", name="Acme", tier=tier)
    key, text = ApiKey.objects.issue(client, "k")
    usage.reset()
    yield route, key, text
    usage.reset()


def test_requests_are_counted_by_route_client_key_and_outcome(client, guarded):
    route, key, text = guarded
    for _request in range(3):
        client.get("/api/plain", headers={"X-API-Key": text})
    client.get("/api/plain")
    client.get("/health")  # No route guards it.
    usage.flush()
    assert stored() == {
        (route.pk, key.client_id, key.pk, "admitted"): 2,
        (route.pk, key.client_id, key.pk, "limit_exceeded"): 1,
        (route.pk, NOBODY, NOBODY, "no_credential"): 1,
    }


def test_counting_costs_a_request_no_query(client, guarded, django_assert_num_queries):
    _route, _key, text = guarded
    client.get("/api/plain", headers={"X-API-Key": text})  # Reads policy and the key.
    with django_assert_num_queries(0):
        client.get("/api/plain", headers={"X-API-Key": text})
    assert sum(usage._counts.values()) == 2


def test_a_route_that_observes_says_what_it_would_refuse(client, guarded):
    route, _key, _text = guarded
    route.mode = "observe"
    route.save()
    client.get("/api/plain")
    usage.flush()
    assert [(row.outcome, row.enforced) for row in Usage.objects.all()] == [
        ("no_credential", False)
    ]


def test_where_nothing_is_kept_nothing_is_counted(client, guarded, settings):
    settings.APIGUARD = {**settings.APIGUARD, "USAGE_KEEP_DAYS": 0}
    client.get("/api/plain")
    assert usage._counts == {}


def test_units_are_added_and_are_no_requests(recorder, monkeypatch):
    for amount in (500, 12):
        recorder.record_units(1, 2, 3, "tokens", amount)
    recorder.record(1, 2, 3, "admitted", True)
    recorder.flush()
    assert stored() == {(1, 2, 3, "admitted"): 1, (1, 2, 3, "settled:tokens"): 512}
    # What the database does not take is lost; only requests are counted as lost.
    monkeypatch.setattr(table.UsageQuerySet, "add", lambda *_: 1 / 0)
    recorder.record_units(1, 2, 3, "tokens", 500)
    recorder.record(1, 2, 3, "admitted", True)
    recorder.flush()
    assert recorder.dropped == 1
