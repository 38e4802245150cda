"""Undo puts back what was, where nobody has changed it since, as one new revision."""

from __future__ import annotations

import os
import random
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiguard.history.apply import UndoRefused, apply_undo, locked
from apiguard.history.replay import find_unrecorded, policy_models
from apiguard.history.undo import of_change, of_revision, plan_undo, since_revision
from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    BlockedNetwork,
    Client,
    CorsPolicy,
    JwtIssuer,
    Limit,
    LimitOverride,
    PolicyChange,
    PolicyState,
    Route,
    Tier,
    acting,
)
from apiguard.models.row_changes import read_rows
from apiguard.models.state import one_revision
from tests.policy.random_edits import RandomEdits

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("HISTORY_EXAMPLES", "4"))


def undo(changes, **kwargs):
    with locked("default"):
        planned = plan_undo(changes, "default", **kwargs)
        apply_undo(planned, "default", "a mistake")
    return planned


def undo_last():
    return undo(of_revision(PolicyState.objects.get().revision, "default"))


def refused(changes, **kwargs):
    with pytest.raises(UndoRefused) as caught:
        undo(changes, **kwargs)
    return " ".join(caught.value.obstacles)


def rows():
    """Every row but keys; of a client that was made, nothing but that it is disabled."""
    return {
        (model._meta.model_name, pk): dict(row.values)
        for model in policy_models()
        if model is not ApiKey
        for pk, row in read_rows(model, "default").items()
        if model is not Client or row.values["enabled"] or Client.objects.get(pk=pk).keys.exists()
    }


@pytest.fixture
def tier():
    with one_revision():
        tier = Tier.objects.create(slug="free", name="Free")
        Limit.objects.create(tier=tier, name="minute", amount=5, period=60)
        Limit.objects.create(tier=tier, name="hour", amount=50, period=3600)
    return tier


def was_replaced(revision):
    """Whether a client was deleted and made anew: undone, it stays, and so nothing comes back."""
    later = PolicyChange.objects.filter(revision__gt=revision, model="apiguard.client")
    return {"deleted", "created"} <= set(later.values_list("action", flat=True))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_undo_of_every_revision_gives_back_the_rows_before_it(seed):
    edits = RandomEdits(random.Random(seed))
    for way in (edits.write_past_the_models, edits.issue_a_key):
        edits._ways.remove(way)
    for _ in range(25):
        edits.edit()
    # A client that is undone stays, disabled; so none begins disabled here.
    Client.objects.update(enabled=True)
    for _ in range(15):
        start, before = PolicyState.objects.get().revision, rows()
        made = edits.edit()
        end = PolicyState.objects.get().revision
        if Client.objects.filter(enabled=False).exists() or was_replaced(start):
            Client.objects.update(enabled=True)
            continue
        for revision in range(end, start, -1):
            undo(of_revision(revision, "default"))
        assert rows() == before, made
    assert find_unrecorded("default") == []


def test_a_changed_value_is_put_back_as_a_new_revision(tier):
    route = Route.objects.create(name="api", path_prefix="/api/", anonymous_tier=tier)
    Route.objects.filter(pk=route.pk).update(mode="off", cost=3)
    before = PolicyState.objects.get().revision
    with acting(name="ann", reason="a mistake"):
        undo_last()
    route.refresh_from_db()
    assert (route.mode, route.cost, PolicyState.objects.get().revision) == (
        *("enforce", 1),
        before + 1,
    )
    last = PolicyChange.objects.order_by("pk").last()
    assert (last.actor_name, last.reason) == ("ann", "a mistake")
    assert last.after == {"mode": "enforce", "cost": 1}


def test_a_deleted_row_comes_back_with_its_children_under_the_same_keys(tier):
    client = Client.objects.create(slug="acme", name="Acme")
    until = timezone.now() + timedelta(days=1, microseconds=7)
    LimitOverride.objects.create(client=client, limit=tier.limits.first(), amount=9, until=until)
    before = rows()
    tier.delete()
    [change] = PolicyChange.objects.filter(model="apiguard.tier", action="deleted")
    undo(of_change(change, "default"))
    assert rows() == before
    assert len(set(PolicyChange.objects.values_list("revision", flat=True)[:4])) == 1


def test_of_a_child_whose_parent_is_gone_the_parent_is_named(tier):
    tier.delete()
    change = PolicyChange.objects.filter(model="apiguard.limit", action="deleted").first()
    assert "refers to the tier “Free”, which is gone" in refused(of_change(change, "default"))


def test_a_later_edit_stands_in_the_way_and_is_named(tier):
    limit = tier.limits.first()
    limit.amount = 6
    limit.save()
    changes = of_revision(PolicyState.objects.get().revision, "default")
    with acting(name="bob"):
        limit.amount = 7
        limit.save()
    later = PolicyState.objects.get().revision
    text = refused(changes)
    assert f"Amount of the limit “minute” was changed later: revision {later} by bob." in text
    undo_last()
    undo(changes)
    assert Limit.objects.get(pk=limit.pk).amount == 5


def test_an_edit_of_another_column_stands_in_nobody_s_way(tier):
    route = Route.objects.create(name="api", path_prefix="/api/")
    Route.objects.update(mode="off")
    changes = of_revision(PolicyState.objects.get().revision, "default")
    Route.objects.update(cost=4)
    undo(changes)
    route.refresh_from_db()
    assert (route.mode, route.cost) == ("enforce", 4)


def test_a_unique_value_that_was_taken_since_is_named(tier):
    Route.objects.create(name="api", path_prefix="/api/").delete()
    changes = of_revision(PolicyState.objects.get().revision, "default")
    Route.objects.create(name="orders", path_prefix="/api/")
    text = refused(changes)
    assert "the path prefix “/api/” was taken since by “orders”" in text
    assert Route.objects.count() == 1


def test_rows_that_were_added_later_are_not_deleted_with_their_parent(tier):
    changes = of_revision(PolicyState.objects.get().revision, "default")
    Limit.objects.create(tier=tier, name="day", amount=5, period=86400)
    assert "has rows that were added later: limit “day”" in refused(changes)
    assert tier.limits.count() == 3


def test_a_row_that_is_used_now_is_not_deleted(tier):
    changes = of_revision(PolicyState.objects.get().revision, "default")
    Route.objects.create(name="api", path_prefix="/api/", anonymous_tier=tier)
    assert "is used by route “api”" in refused(changes)


def test_two_rows_that_depend_on_each_other_come_back_in_any_order(tier):
    route = Route.objects.create(name="api", path_prefix="/api/", anonymous_tier=tier)
    before = rows()
    with one_revision():
        route.anonymous_tier = None
        route.save()
        tier.delete()
        other = Tier.objects.create(slug="paid", name="Paid")
        route.anonymous_tier = other
        route.save()
    undo_last()
    assert rows() == before


def test_a_client_that_was_created_is_disabled():
    client = Client.objects.create(slug="acme", name="Acme")
    done = undo_last()
    client.refresh_from_db()
    assert not client.enabled
    assert "stays, disabled" in done.notes[0]


def test_a_key_that_was_issued_is_revoked_and_a_revoked_one_stays_so():
    key, _ = ApiKey.objects.issue(Client.objects.create(slug="acme", name="Acme"), "k")
    undo_last()
    key.refresh_from_db()
    assert key.revoke_reason == "a mistake"
    assert "is revoked, and stays so" in refused(
        of_revision(PolicyState.objects.get().revision, "default")
    )


def test_going_back_leaves_keys_and_blocks_as_they_are(tier):
    start = PolicyState.objects.get().revision
    key, _ = ApiKey.objects.issue(Client.objects.create(slug="acme", name="Acme"), "k")
    digest = key.digest
    Limit.objects.update(amount=1)
    Route.objects.create(name="api", path_prefix="/api/")
    BlockedNetwork.objects.create(network="192.0.2.7", reason="a flood")
    done = undo(since_revision(start, "default"), goes_back=True)
    key.refresh_from_db()
    assert (key.revoked_at, key.digest) == (None, digest)
    assert BlockedNetwork.objects.exists()
    assert not Route.objects.exists()
    assert sorted(Limit.objects.values_list("amount", flat=True)) == [5, 50]
    assert any(note.startswith("API keys stay as they are") for note in done.notes)


def test_an_issuer_without_its_keys_comes_back_disabled():
    row = JwtIssuer.objects.create(name="a", issuer="https://a.example", jwks={"keys": []})
    pk = row.pk
    row.delete()
    done = undo_last()
    assert not JwtIssuer.objects.get(pk=pk).enabled
    assert "without its keys" in done.notes[0]


def test_undo_of_an_undo_does_it_again(tier):
    policy = CorsPolicy.objects.create(name="browsers")
    AllowedOrigin.objects.create(policy=policy, pattern="https://a.example")
    undo_last()
    assert not AllowedOrigin.objects.exists()
    undo_last()
    assert AllowedOrigin.objects.get().pattern == "https://a.example"


def test_what_is_as_it_was_needs_no_step(tier):
    changes = of_revision(PolicyState.objects.get().revision, "default")
    tier.delete()
    assert plan_undo(changes, "default").steps == []
