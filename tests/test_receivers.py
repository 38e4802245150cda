"""The writes that base classes cannot see."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.serializers import deserialize
from django.db import connection
from django.db.models.deletion import Collector
from django.test.utils import CaptureQueriesContext

from apiguard.models import PolicyState, Route
from apiguard.models.state import committed

FIXTURE = """[
  {"model": "apiguard.corspolicy", "pk": 1, "fields": {"name": "a"}},
  {"model": "apiguard.route", "pk": 2, "fields":
    {"name": "api", "path_prefix": "/api/", "cors_policy": 1}}
]"""


def published():
    """What each of the last changes touched, as workers read it."""
    return [entry[2] for entry in PolicyState.objects.get().recent]


@pytest.mark.django_db
def test_loaddata_publishes_the_kinds_of_rows_that_it_wrote(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(FIXTURE)
    call_command("loaddata", str(path), verbosity=0)
    assert Route.objects.get().cors_policy.name == "a"
    assert set(published()) == {"corspolicy", "route"}
    # A reload finds the rows themselves by their revision.
    assert Route.objects.get().revision == PolicyState.objects.get().revision


@pytest.mark.django_db(transaction=True)
def test_a_raw_save_in_autocommit_is_announced_after_it_is_committed():
    known = committed.count
    [row, _] = deserialize("json", FIXTURE)
    with CaptureQueriesContext(connection) as captured:
        row.save()
    ran = [query["sql"].split('"')[1] for query in captured if '"' in query["sql"]]
    assert ran.index("apiguard_policystate") > ran.index("apiguard_corspolicy")
    assert committed.count == known + 1


@pytest.mark.django_db
def test_a_deletion_that_nobody_owns_is_published():
    Route.objects.create(name="api", path_prefix="/api/")
    collector = Collector(using="default")
    collector.collect(list(Route.objects.all()))
    collector.delete()
    # Not by name: nobody saw which rows went, so all compiled rows are read anew.
    assert published()[-1] == "policy"


@pytest.mark.django_db
def test_a_deletion_is_published_once():
    route = Route.objects.create(name="api", path_prefix="/api/")
    before = PolicyState.objects.get().revision
    route.delete()
    assert PolicyState.objects.get().revision == before + 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("command", ["migrate", "flush"])
def test_new_tables_are_noticed(command):
    epoch = committed.epoch
    call_command(command, verbosity=0, interactive=False)
    assert committed.epoch > epoch
