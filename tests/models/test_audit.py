"""The history: one entry for one change, and never a secret in it."""

from __future__ import annotations

import json

import pytest
from django.db.models import F

from apiguard.models import (
    ApiKey,
    Client,
    JwtIssuer,
    PolicyChange,
    Route,
    acting,
)
from tests.models.world import World, rename_all, revision


def changes():
    return list(PolicyChange.objects.order_by("id"))


@pytest.mark.django_db
def test_one_entry_says_who_changed_what_from_what_to_what(django_user_model):
    route = Route.objects.create(name="api", path_prefix="/api/")
    user = django_user_model.objects.create(username="ann")
    route.cost = 3
    with acting(user, request_id="r-1", reason="dearer"):
        route.save()
    created, changed = changes()
    assert created.action == "created"
    assert created.before is None
    assert created.after["path_prefix"] == "/api/"
    assert (changed.action, changed.before, changed.after) == ("changed", {"cost": 1}, {"cost": 3})
    assert (changed.actor, changed.actor_name) == (user, "ann")
    assert (changed.request_id, changed.reason) == ("r-1", "dearer")
    assert (changed.model, changed.object_pk) == ("apiguard.route", str(route.pk))
    assert changed.revision == revision()


@pytest.mark.django_db
def test_nobody_is_named_outside_the_block():
    with acting(name="importer"):
        route = Route.objects.create(name="api", path_prefix="/api/")
    route.delete()
    assert [change.actor_name for change in changes()] == ["importer", ""]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("door", "action"),
    [
        pytest.param(lambda w: w.route.delete(), "deleted", id="delete"),
        pytest.param(lambda w: Route.objects.update(cost=2), "changed", id="update"),
        pytest.param(lambda w: Route.objects.all().delete(), "deleted", id="queryset delete"),
        pytest.param(
            lambda w: Route.objects.bulk_update(rename_all([w.route]), ["name"]),
            "changed",
            id="bulk_update",
        ),
        pytest.param(
            lambda w: Route.objects.update_or_create({"cost": 2}, name="api"),
            "changed",
            id="update_or_create",
        ),
    ],
)
def test_a_write_leaves_one_entry(door, action):
    world = World()
    PolicyChange.objects.all().delete()
    door(world)
    assert [change.action for change in changes()] == [action]


@pytest.mark.django_db
def test_a_cascade_leaves_one_entry_per_row():
    world = World()
    rows = {("apiguard.tier", world.tier.pk)}
    rows |= {("apiguard.limit", limit.pk) for limit in world.tier.limits.all()}
    PolicyChange.objects.all().delete()
    world.tier.delete()
    assert {(change.model, int(change.object_pk)) for change in changes()} >= rows
    assert len(changes()) == len({(change.model, change.object_pk) for change in changes()})
    assert {change.action for change in changes()} == {"deleted"}


@pytest.mark.django_db
def test_an_entry_holds_only_the_fields_that_were_saved():
    route = Route.objects.create(name="api", path_prefix="/api/")
    route.cost, route.name = 2, "not saved"
    route.save(update_fields=["cost"])
    assert changes()[-1].after == {"cost": 2}


@pytest.mark.django_db
def test_an_expression_is_reported_as_it_was_written_or_as_what_it_came_to():
    route = Route.objects.create(name="api", path_prefix="/api/")
    route.cost = F("cost") + 1
    route.save()
    told = changes()[-1].after["cost"]
    # Django 6 asks the database what it came to.
    assert told == 2 or "cost" in told
    assert Route.objects.get().cost == 2


@pytest.mark.django_db
def test_no_entry_holds_a_digest_or_the_name_of_a_pepper():
    client = Client.objects.create(slug="a", name="A")
    key, text = ApiKey.objects.issue(client, "k", ["a:b"])
    key.rotate(reason="monthly")
    ApiKey.objects.filter(pk=key.pk).update(digest="f" * 64, pepper_id="tests")
    ApiKey.objects.bulk_update([key], ["digest"])
    written = json.dumps(list(PolicyChange.objects.values("before", "after", "object_name")))
    for secret in (key.digest, "f" * 64, "pepper_id", "digest", "tests", text):
        assert secret not in written


@pytest.mark.django_db
def test_no_entry_holds_a_key_set_which_may_be_a_private_one():
    secret = {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}
    issuer = JwtIssuer.objects.create(
        name="a", issuer="https://a.example", jwks=secret, fetched_jwks=secret
    )
    issuer.jwks = {"keys": [{**secret["keys"][0], "kid": "1"}]}
    issuer.save()
    JwtIssuer.objects.update(jwks=secret, fetched_jwks=secret, name="b")
    issuer.delete()
    written = json.dumps(list(PolicyChange.objects.values("before", "after")))
    assert [change.action for change in changes()] == ["created", "changed", "changed", "deleted"]
    assert "https://a.example" in written
    assert "c2VjcmV0" not in written
