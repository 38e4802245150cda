"""Counts that grow, hour by hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apiguard.models import HourlyCount, ShadowCount
from apiguard.models.hourly_counts import SHADOW_KEPT

pytestmark = pytest.mark.django_db

AT = datetime(2026, 1, 2, 10, 59, 59, tzinfo=UTC)


def test_counts_of_one_hour_grow_and_the_next_hour_begins_anew():
    for at, count in ((AT, 2), (AT, 3), (AT + timedelta(seconds=1), 5)):
        ShadowCount.objects.add(at, 1, "client:7", count)
        HourlyCount.objects.add(at, 1, "a", True, count)
    for model in (ShadowCount, HourlyCount):
        assert [(row.hour.hour, row.count) for row in model.objects.all()] == [(11, 5), (10, 5)]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((2, "client:7"), id="another limit"),
        pytest.param((1, "client:8"), id="another principal"),
        pytest.param((1, ""), id="all others"),
    ],
)
def test_each_limit_and_principal_has_a_count_of_its_own(other):
    ShadowCount.objects.add(AT, 1, "client:7", 1)
    ShadowCount.objects.add(AT, *other, 1)
    assert [row.count for row in ShadowCount.objects.all()] == [1, 1]


def test_a_row_that_another_worker_made_first_still_grows(monkeypatch):
    ShadowCount.objects.add(AT, 1, "client:7", 1)
    rows = ShadowCount.objects.all()
    first = [rows.none()]
    whole = rows.filter
    monkeypatch.setattr(
        rows, "filter", lambda **entry: _NothingYet(whole(**entry), first.pop() if first else None)
    )
    rows.add(AT, 1, "client:7", 2)
    assert ShadowCount.objects.get().count == 3


class _NothingYet:
    """A row that is there, except for whoever looks first."""

    def __init__(self, real, first):
        self._real, self._first = real, first

    def update(self, **values):
        rows, self._first = self._first, None
        return (self._real if rows is None else rows).update(**values)


def test_old_shadow_counts_are_forgotten_and_others_kept():
    ShadowCount.objects.add(AT - SHADOW_KEPT - timedelta(hours=1), 1, "old", 1)
    ShadowCount.objects.add(AT - SHADOW_KEPT, 1, "kept", 1)
    ShadowCount.objects.forget(AT)
    assert [row.principal for row in ShadowCount.objects.all()] == ["kept"]
