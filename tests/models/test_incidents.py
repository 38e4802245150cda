"""Outages as processes saw them, also those of processes that are gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apiguard.models import CounterFault, CounterOutage, UntrustedProxy
from apiguard.models.incidents import KEPT, SILENCE

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def noted(process, *changes):
    for away, at in changes:
        CounterOutage.objects.note(process, away, at)


def test_an_outage_lasts_until_its_own_process_says_that_it_ended():
    noted("web:1", (True, NOW - MINUTE))
    noted("web:2", (True, NOW - MINUTE), (False, NOW))
    assert [row.process for row in CounterOutage.objects.open(NOW)] == ["web:1"]
    (ended,) = CounterOutage.objects.ended_since(NOW - DAY, NOW)
    assert (ended.process, ended.ended_at) == ("web:2", NOW)


def test_a_process_that_fell_silent_is_taken_to_be_gone():
    noted("web:1", (True, NOW - SILENCE - MINUTE))
    assert not CounterOutage.objects.open(NOW).exists()
    assert CounterOutage.objects.ended_since(NOW - DAY, NOW).count() == 1


def test_a_process_that_goes_on_saying_so_is_not():
    noted("web:1", (True, NOW - DAY))
    CounterOutage.objects.still("web:1", NOW)
    assert CounterOutage.objects.open(NOW).count() == 1
    assert not CounterOutage.objects.ended_since(NOW - DAY, NOW).exists()


def test_a_new_process_of_the_same_name_ends_the_outage_of_the_old_one_where_it_fell_silent():
    noted("web:1", (True, NOW - DAY))
    CounterOutage.objects.still("web:1", NOW - DAY + MINUTE)
    noted("web:1", (True, NOW))
    new, old = CounterOutage.objects.all()
    assert (old.ended_at, new.ended_at) == (NOW - DAY + MINUTE, None)


def test_an_outage_that_ended_long_ago_is_not_reported():
    noted("web:1", (True, NOW - 2 * DAY), (False, NOW - DAY - MINUTE))
    assert not CounterOutage.objects.ended_since(NOW - DAY, NOW).exists()


def test_that_the_store_is_back_without_having_been_away_is_nothing():
    noted("web:1", (False, NOW))
    assert not CounterOutage.objects.exists()


def test_a_proxy_has_one_row():
    for at in (NOW - DAY, NOW):
        UntrustedProxy.objects.seen("10.0.0.1", at)
    row = UntrustedProxy.objects.get()
    assert (row.first_seen, row.last_seen) == (NOW - DAY, NOW)
    assert UntrustedProxy.objects.since(NOW).count() == 1
    assert not UntrustedProxy.objects.since(NOW + MINUTE).exists()


def test_a_fault_has_one_row_that_counts():
    for at, count in ((NOW - DAY, 2), (NOW, 3)):
        CounterFault.objects.add("defect", "KeyError in a.py:1", count, at)
    CounterFault.objects.add("pool", "KeyError in a.py:1", 1, NOW - DAY)
    row = CounterFault.objects.get(kind="defect")
    assert (row.count, row.first_seen, row.last_seen) == (5, NOW - DAY, NOW)
    assert list(CounterFault.objects.since(NOW)) == [row]
    assert str(row) == "defect: KeyError in a.py:1"


def test_what_is_old_is_forgotten():
    for at in (NOW - KEPT - MINUTE, NOW - KEPT):
        noted(f"web:{at.minute}", (True, at))
        UntrustedProxy.objects.seen(f"10.0.0.{at.minute}", at)
        CounterFault.objects.add("defect", f"{at.minute}", 1, at)
    for model in (CounterOutage, CounterFault, UntrustedProxy):
        model.objects.forget(NOW)
        assert model.objects.count() == 1
