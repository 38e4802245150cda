"""Refused requests are pruned by age and number, the oldest anonymous ones first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apiguard.models import PeriodicTask, Refusal

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def refuse(hours, identified):
    return Refusal.objects.create(
        at=NOW - timedelta(hours=hours),
        request_id=f"{hours}{'i' if identified else 'a'}",
        method="GET",
        path="/",
        status=401,
        enforced=True,
        outcome="no_credential",
        reason="why",
        principal="ip:192.0.2.1",
        is_identified=identified,
        revision=1,
    )


@pytest.mark.parametrize(
    ("most", "left"),
    [
        (9, ["4i", "3a", "2i", "1a"]),
        (3, ["4i", "2i", "1a"]),
        (2, ["4i", "2i"]),
        (1, ["2i"]),
    ],
)
def test_too_many_lose_the_oldest_anonymous_ones_first(most, left):
    for hours, identified in [(4, True), (3, False), (2, True), (1, False)]:
        refuse(hours, identified)
    while Refusal.objects.prune(NOW, keep=timedelta(days=1), most=most, batch=1):
        pass
    assert list(Refusal.objects.order_by("at").values_list("request_id", flat=True)) == left


def test_many_rows_are_inserted_a_hundred_at_once_as_they_are():
    rows = [refuse(1, True)]
    copies = [Refusal(**{**fields_of(rows[0]), "request_id": str(number)}) for number in range(250)]
    copies[7].limits = [{"name": "per-minute", "used": 1}]
    with CaptureQueriesContext(connection) as queries:
        Refusal.objects.insert(copies)
    statements = [query["sql"].split()[0] for query in queries]
    assert set(statements) == {"INSERT"}
    assert 3 <= len(statements) < 250
    stored = Refusal.objects.get(request_id="7")
    assert fields_of(stored) == fields_of(copies[7])
    assert Refusal.objects.count() == 251


def fields_of(row):
    fields = [field for field in Refusal._meta.concrete_fields if not field.primary_key]
    return {field.attname: getattr(row, field.attname) for field in fields}


def test_what_is_too_old_goes_whoever_it_was():
    refuse(30, True)
    refuse(29, False)
    refuse(1, True)
    assert Refusal.objects.prune(NOW, keep=timedelta(days=1), most=9, batch=9) == 2
    assert Refusal.objects.prune(NOW, keep=timedelta(days=1), most=9, batch=9) == 0


def test_a_batch_is_no_larger_than_its_size():
    for hours in range(1, 8):
        refuse(hours, False)
    assert Refusal.objects.prune(NOW, keep=timedelta(days=1), most=2, batch=3) == 3
    assert Refusal.objects.prune(NOW, keep=timedelta(days=1), most=2, batch=3) == 2


def test_one_process_has_the_turn_until_its_time_is_over():
    tasks, every = PeriodicTask.objects, timedelta(seconds=10)
    assert tasks.claim("prune", NOW, every)
    assert not tasks.claim("prune", NOW + timedelta(seconds=9), every)
    assert tasks.claim("other", NOW, every)
    assert tasks.claim("prune", NOW + every, every)
    assert not tasks.claim("prune", NOW + every, every)
