"""Numbers of requests: added up, whoever adds them; hours become days; old rows go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import connection

from apiguard.models import Usage
from apiguard.models import usage as module
from apiguard.models.usage import HOURS_KEPT, LOST, SERVED, UsageKey, usage_rows
from apiguard.request.verdict import REFUSALS, Outcome

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 10, 10, tzinfo=UTC)
ONE = UsageKey(1, 2, 3, "admitted", True)


def add(start, counts, is_day=False):
    return list(usage_rows().add(start, is_day, counts))


def stored():
    return {
        (row.start, row.is_day, row.route_pk, row.outcome): row.requests
        for row in Usage.objects.all()
    }


def test_what_is_added_twice_is_added_up():
    add(NOW, {ONE: 2})
    add(NOW, {ONE: 3})
    assert stored() == {(NOW, False, 1, "admitted"): 5}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"route_pk": 9}, id="route"),
        pytest.param({"client_pk": 9}, id="client"),
        pytest.param({"key_pk": 9}, id="key"),
        pytest.param({"outcome": "scope_missing"}, id="outcome"),
        pytest.param({"enforced": False}, id="enforced or observed"),
    ],
)
def test_each_member_of_the_key_has_a_row_of_its_own(other):
    add(NOW, {ONE: 1, ONE._replace(**other): 4})
    assert sorted(row.requests for row in Usage.objects.all()) == [1, 4]


def test_a_statement_holds_a_bounded_number_of_rows_in_the_order_of_the_key(
    django_assert_num_queries, monkeypatch
):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 50)
    counts = {ONE._replace(key_pk=pk): pk for pk in range(120, 0, -1)}
    with django_assert_num_queries(3):
        written = add(NOW, counts)
    assert written == [sum(range(1, 51)), sum(range(51, 101)), sum(range(101, 121))]
    assert list(Usage.objects.order_by("pk").values_list("key_pk", flat=True)) == sorted(
        key.key_pk for key in counts
    )


@pytest.mark.parametrize(
    ("vendor", "words"),
    [
        pytest.param("mysql", "ON DUPLICATE KEY UPDATE {n} = {n} + VALUES({n})", id="MariaDB"),
        pytest.param("postgresql", "DO UPDATE SET {n} = {t}.{n} + EXCLUDED.{n}", id="PostgreSQL"),
    ],
)
def test_each_database_is_asked_in_its_own_words(vendor, words):
    other = SimpleNamespace(vendor=vendor, ops=connection.ops)
    sql, values = module._upsert(other, [(NOW, False, *ONE, 1), (NOW, True, *ONE, 2)])
    quote = connection.ops.quote_name
    assert sql.endswith(words.format(n=quote("requests"), t=quote("apiguard_usage")))
    assert sql.count("%s") == len(values) == 16


def test_hours_that_are_over_a_week_old_become_days():
    old = (NOW - HOURS_KEPT - timedelta(days=1)).replace(hour=5)
    for start in (old, old + timedelta(hours=1), NOW):
        add(start, {ONE: 10})
    add(old.replace(hour=0), {ONE: 5}, is_day=True)
    while usage_rows().roll_up(NOW):
        pass
    assert stored() == {
        (old.replace(hour=0), True, 1, "admitted"): 25,
        (NOW, False, 1, "admitted"): 10,
    }


def test_rows_that_another_process_adds_up_at_the_same_time_are_added_up_once(monkeypatch):
    old = NOW - HOURS_KEPT - timedelta(days=2)
    add(old, {ONE: 10})
    real = module.UsageQuerySet._delete_all

    def be_late(rows, pks):
        monkeypatch.setattr(module.UsageQuerySet, "_delete_all", real)
        assert usage_rows().roll_up(NOW)
        return real(rows, pks)

    monkeypatch.setattr(module.UsageQuerySet, "_delete_all", be_late)
    assert not usage_rows().roll_up(NOW)
    assert [row.requests for row in Usage.objects.all()] == [10]


def test_old_rows_are_deleted_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "OLD_ROWS_AT_ONCE", 2)
    for days in (1, 89, 90, 91, 92, 93):
        add(NOW.replace(hour=0) - timedelta(days=days), {ONE: days}, is_day=True)
    assert usage_rows().forget(NOW, 90)
    assert usage_rows().forget(NOW, 90)
    assert not usage_rows().forget(NOW, 90)
    assert sorted(row.requests for row in Usage.objects.all()) == [1, 89, 90]


def test_every_outcome_is_either_served_or_refused():
    # What the view itself answered counts as admitted.
    counted = set(Outcome) - {Outcome.VIEW_ANSWERED}
    assert {outcome.value for outcome in counted} - set(SERVED) == {one.value for one in REFUSALS}
    assert LOST not in {outcome.value for outcome in Outcome}
