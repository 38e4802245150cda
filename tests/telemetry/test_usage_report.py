"""Usage as people read it: totals, the highest numbers, hours and days of their time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apiguard.models.usage import LOST, UsageKey, day_of, usage_rows
from apiguard.telemetry import usage_report
from apiguard.telemetry.usage_report import Selection, Totals

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 10, 1, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONE = UsageKey(1, 2, 3, "admitted", True)
REFUSED = ONE._replace(outcome="limit_exceeded")


def add(start, key, requests, is_day=False):
    list(usage_rows().add(start, is_day, {key: requests}))


@pytest.fixture
def rows():
    add(NOW - 1.5 * HOUR, ONE, 10)  # 00:00 UTC, 01:00 in Berlin, 19:00 of the 9th in New York
    add(NOW - 1.5 * HOUR, REFUSED, 3)
    add(NOW - 1.5 * HOUR, REFUSED._replace(route_pk=7, enforced=False), 4)
    add(NOW - 3.5 * HOUR, ONE._replace(client_pk=5, key_pk=6), 20)  # 22:00, 23:00, 17:00
    add(NOW - 3.5 * HOUR, UsageKey(0, 0, 0, LOST, True), 99)
    add(day_of(NOW) - timedelta(days=20), ONE, 1_000, is_day=True)


def test_totals_tell_refused_requests_from_those_that_would_have_been(rows):
    assert usage_report.totals(Selection.of_days(1, NOW)) == Totals(37, 3, 4)
    assert usage_report.totals(Selection.of_days(1, NOW)).admitted == 34


@pytest.mark.parametrize(
    ("only", "requests"),
    [
        ({"client_pk": 2}, 17),
        ({"client_pk": 5}, 20),
        ({"key_pk": 6}, 20),
        ({"route_pk": 7}, 4),
        ({"route_pk": 8}, 0),
    ],
)
def test_a_selection_is_of_one_client_key_or_route(rows, only, requests):
    assert usage_report.totals(Selection.of_days(1, NOW, **only)).requests == requests


def test_lost_requests_are_distinguished_from_all_others(rows):
    assert Selection.of_days(1, NOW).lost() == 99


@pytest.mark.parametrize(
    ("by", "clients"), [("total", [(5,), (2,)]), ("refused", [(2,)])], ids=["all", "refused"]
)
def test_the_highest_numbers_come_first(rows, by, clients):
    found = usage_report.shares(Selection.of_days(1, NOW), ["client_pk"], by=by)
    assert [share.key for share in found] == clients
    assert found[-1].last == NOW - 1.5 * HOUR


def test_no_more_are_read_than_are_wanted(rows):
    found = usage_report.shares(Selection.of_days(1, NOW), ["client_pk"], most=1)
    assert [share.key for share in found] == [(5,)]


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        pytest.param("UTC", {"2026-03-09": 20, "2026-03-10": 17}, id="UTC"),
        pytest.param("Europe/Berlin", {"2026-03-09": 20, "2026-03-10": 17}, id="Berlin"),
        pytest.param("America/New_York", {"2026-03-08": 0, "2026-03-09": 37}, id="New York"),
        pytest.param("Asia/Tokyo", {"2026-03-09": 0, "2026-03-10": 37}, id="Tokyo"),
    ],
)
def test_days_are_those_of_the_readers_time_zone(rows, zone, days):
    with timezone.override(zone):
        found = usage_report.periods(Selection.of_days(2, NOW))
        assert {
            timezone.localtime(one.start).date().isoformat(): one.totals.requests for one in found
        } == days


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_whole_days_keep_their_date_in_every_time_zone(rows, zone):
    with timezone.override(zone):
        found = usage_report.periods(Selection.of_days(30, NOW))
        dates = {timezone.localtime(one.start).date().isoformat(): one for one in found}
        assert dates["2026-02-18"].totals.requests == 1_000
        assert len(found) == 30


def test_the_days_of_a_change_of_clocks_begin_at_midnight():
    with timezone.override("Europe/Berlin"):  # 29 March 2026 has 23 hours there.
        now = datetime(2026, 3, 31, 12, tzinfo=UTC)
        starts = [one.start for one in usage_report.periods(Selection.of_days(4, now))]
    assert [start.utcoffset() / HOUR for start in starts] == [1, 1, 2, 2]
    assert {start.hour for start in starts} == {0}


def test_one_day_is_shown_by_the_hour(rows):
    found = usage_report.periods(Selection.of_days(1, NOW))
    assert len(found) == 24
    assert [one.totals.requests for one in found[-4:]] == [20, 0, 17, 0]


def test_units_are_numbers_of_their_own_by_day_route_and_client(rows):
    tokens = ONE._replace(outcome="settled:tokens")
    before = usage_report.totals(Selection.of_days(30, NOW))
    add(NOW - 1.5 * HOUR, tokens, 500)
    add(NOW - 1.5 * HOUR, tokens._replace(key_pk=9), 12)
    add(NOW - 3.5 * HOUR, tokens, 7)
    add(day_of(NOW) - timedelta(days=20), tokens, 1_000, is_day=True)
    selection = Selection.of_days(30, NOW)
    found = usage_report.settled_units(selection, most=10)
    assert [(one.day.date().isoformat(), one.amount) for one in found] == [
        ("2026-03-10", 512),
        ("2026-03-09", 7),
        ("2026-02-18", 1_000),
    ]
    assert {(one.route_pk, one.client_pk, one.unit) for one in found} == {(1, 2, "tokens")}
    assert len(usage_report.settled_units(selection, most=2)) == 2
    assert usage_report.totals(selection) == before
    assert sum((one.totals for one in usage_report.periods(selection)), Totals()) == before
