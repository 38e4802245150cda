"""Replaying the history from empty gives the rows in force, whichever way they were written."""

from __future__ import annotations

import os
import random
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiguard.history.replay import find_unrecorded, policy_models, recorded
from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    Client,
    CorsPolicy,
    Limit,
    LimitOverride,
    PolicyChange,
    Route,
    Tier,
    acting,
)
from apiguard.models.row_changes import read_rows
from tests.policy.random_edits import RandomEdits

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("HISTORY_EXAMPLES", "4"))


def rows_in_force():
    return {
        model._meta.label_lower: {
            str(pk): row.values for pk, row in read_rows(model, "default").items()
        }
        for model in policy_models()
    }


def rows_replayed():
    known = recorded("default").rows
    return {
        model._meta.label_lower: {
            pk: row.values for pk, row in known.get(model._meta.label_lower, {}).items()
        }
        for model in policy_models()
    }


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_replaying_the_history_gives_the_rows_in_force(seed):
    edits = RandomEdits(random.Random(seed))
    edits._ways.remove(edits.write_past_the_models)
    made = [edits.edit() for _ in range(40)]
    assert rows_replayed() == rows_in_force(), made
    assert find_unrecorded("default") == []


def entries_of(write):
    last = PolicyChange.objects.order_by("pk").last()
    write()
    return list(PolicyChange.objects.filter(pk__gt=last.pk if last else 0).order_by("pk"))


@pytest.fixture
def tier():
    tier = Tier.objects.create(slug="free", name="Free")
    for name in ("a", "b", "c"):
        Limit.objects.create(tier=tier, name=name, amount=5, period=60)
    return tier


def test_an_update_of_many_has_an_entry_per_row_that_differs(tier):
    Limit.objects.filter(name="a").update(amount=7)
    entries = entries_of(lambda: Limit.objects.update(amount=7))
    assert [(entry.before, entry.after) for entry in entries] == [
        ({"amount": 5}, {"amount": 7})
    ] * 2
    assert len({entry.revision for entry in entries}) == 1


def test_a_cascade_has_an_entry_per_row_under_one_revision(tier):
    client = Client.objects.create(slug="acme", name="Acme")
    LimitOverride.objects.create(client=client, limit=tier.limits.first(), amount=9)
    entries = entries_of(tier.delete)
    kinds = sorted(entry.model for entry in entries)
    assert kinds == [*["apiguard.limit"] * 3, "apiguard.limitoverride", "apiguard.tier"]
    assert len({entry.revision for entry in entries}) == 1
    assert {entry.after for entry in entries} == {None}


def test_a_fixture_that_switches_a_route_off_leaves_an_entry(tmp_path):
    route = Route.objects.create(name="api", path_prefix="/api/", mode="enforce")
    path = tmp_path / "off.json"
    with path.open("w") as stream:
        call_command("dumpdata", "apiguard.route", stdout=stream)
    path.write_text(path.read_text().replace("enforce", "off"))
    [entry] = entries_of(lambda: call_command("loaddata", path, verbosity=0))
    assert (entry.object_pk, entry.before, entry.after) == (
        *(str(route.pk), {"mode": "enforce"}),
        {"mode": "off"},
    )


def test_a_fixture_of_several_kinds_is_one_revision(tier, tmp_path):
    path = tmp_path / "all.json"
    with path.open("w") as stream:
        call_command("dumpdata", "apiguard.tier", "apiguard.limit", stdout=stream)
    path.write_text(
        path.read_text().replace("Free", "Gratis").replace('"amount": 5', '"amount": 6')
    )
    entries = entries_of(lambda: call_command("loaddata", path, verbosity=0))
    assert len(entries) == 4
    assert len({entry.revision for entry in entries}) == 1


def test_an_entry_names_the_rows_that_it_refers_to(tier):
    route = Route.objects.create(name="api", path_prefix="/api/", anonymous_tier=tier)
    route.anonymous_tier = other = Tier.objects.create(slug="paid", name="Paid")
    [entry] = entries_of(route.save)
    assert entry.names == {"anonymous_tier_id": {str(tier.pk): "Free", str(other.pk): "Paid"}}


def test_what_requests_write_about_keys_is_no_change():
    client = Client.objects.create(slug="acme", name="Acme")
    key, _ = ApiKey.objects.issue(client, "k")
    old = key.digest

    def write():
        ApiKey.objects.touch([key.pk], key.created_at)
        ApiKey.objects.rehash(key.pk, old_digest=old, digest="f" * 64, pepper_id="p")

    assert entries_of(write) == []


def test_publish_records_what_raw_sql_did():
    kept = Route.objects.create(name="api", path_prefix="/api/")
    gone = Route.objects.create(name="gone", path_prefix="/gone/")
    policy = CorsPolicy.objects.create(name="browsers")
    models.QuerySet(Route).filter(pk=kept.pk).update(mode="off")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM apiguard_route WHERE id = %s", [gone.pk])
    new = AllowedOrigin(policy=policy, pattern="https://a.example")
    models.QuerySet(AllowedOrigin).bulk_create([new])
    entries = entries_of(lambda: call_command("apiguard", "publish", stdout=StringIO()))
    assert [entry.action for entry in entries] == ["published", *["found"] * 3]
    by_name = {entry.object_name: entry for entry in entries[1:]}
    assert (by_name["api"].before, by_name["api"].after) == ({"mode": "enforce"}, {"mode": "off"})
    assert (by_name["gone"].after, by_name["https://a.example"].before) == (None, None)
    assert rows_replayed() == rows_in_force()
    assert find_unrecorded("default") == []


def test_old_entries_are_deleted_after_the_days_that_the_setting_names(settings):
    with acting(name="long ago"):
        route = Route.objects.create(name="api", path_prefix="/api/")
    PolicyChange.objects.update(at="2020-01-01T00:00:00Z")
    settings.APIGUARD = {**settings.APIGUARD, "HISTORY_KEEP_DAYS": 30}
    route.cost = 2
    route.save()
    assert [change.after for change in PolicyChange.objects.all()] == [{"cost": 2}]
    # Of the rest nothing is known, so nothing is found.
    assert find_unrecorded("default") == []
