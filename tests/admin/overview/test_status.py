"""The first line of the overview: the worst that is known, or that all is well."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apiguard.admin.overview import page as overview_page
from apiguard.models import AllowedOrigin, CounterOutage, Limit, ResponseHeader, Route, Tier
from apiguard.telemetry.heartbeats import Heartbeat
from apiguard.telemetry.workers import Fleet, State, Worker

from ..pages import url


def status_of(browser):
    status = browser.get(url("overview")).context["status"]
    return status.tone, status.text


def workers(*states, unseen=""):
    beat = Heartbeat(41, "ab")
    found = [
        Worker(f"web:{number}", 0.1, beat, state, state is State.CURRENT)
        for number, state in enumerate(states)
    ]
    return Fleet(41, tuple(found), unseen)


@pytest.fixture
def seen(monkeypatch):
    """Let the page see this fleet."""

    def use(fleet):
        real = overview_page.workers_status

        def status(truth):
            from dataclasses import replace

            return replace(real(truth), fleet=fleet)

        monkeypatch.setattr(overview_page, "workers_status", status)

    return use


def test_all_is_well(admin_client, route, seen):
    seen(workers(*[State.CURRENT] * 4))
    assert status_of(admin_client) == ("good", "All well: revision 41 in 4 of 4 workers.")


def test_all_is_well_where_other_workers_cannot_be_seen(admin_client, route):
    tone, text = status_of(admin_client)
    assert tone == "good"
    assert text.endswith("is in force here; other workers are not seen.")


def test_routes_that_answer_503_stand_first_with_the_cause(admin_client, route, headers, seen):
    seen(workers(State.LAGGING))
    Route.objects.update(mode="enforce")
    ResponseHeader.objects.filter(policy=headers).update(name="Bad Header")
    tone, text = status_of(admin_client)
    assert tone == "bad"
    assert text.startswith("1 route answers 503 because response header “")
    assert "Bad Header" in text


def test_a_broken_route_that_observes_refuses_nothing(admin_client, route, tier):
    Limit.objects.filter(tier=tier).update(amount=10**10)
    tone, text = status_of(admin_client)
    assert tone == "warn"
    assert text.startswith("1 route that observes would answer 503 if it were enforced, because ")


def test_a_worker_that_lags_is_named_before_rows_with_problems(admin_client, route, cors, seen):
    seen(workers(State.CURRENT, State.LAGGING))
    AllowedOrigin.objects.bulk_create([AllowedOrigin(policy=cors, pattern="https://*.github.io")])
    expected = ("bad", "1 of 2 workers do not enforce revision 41.")
    assert status_of(admin_client) == expected
    seen(workers(State.CURRENT))
    assert status_of(admin_client)[0] == "warn"


def test_an_outage_that_lasts_is_named(admin_client, route):
    CounterOutage.objects.note("web-1:42", True, timezone.now() - timedelta(minutes=1))
    tone, text = status_of(admin_client)
    assert tone == "bad"
    assert "Redis does not answer web-1:42" in text


def test_without_routes_nothing_is_guarded(admin_client, db):
    assert status_of(admin_client) == ("warn", "Nothing is guarded: there are no routes.")


def test_rows_that_can_hardly_be_meant_are_counted(admin_client, route):
    Tier.objects.create(slug="empty", name="Empty")
    tone, text = status_of(admin_client)
    assert tone == "warn"
    assert text.endswith("1 row can hardly be meant.")
