"""Every door by which a policy row changes publishes first, then writes."""

from __future__ import annotations

import gc
from contextlib import suppress
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Value
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apiguard.models import (
    ApiKey,
    Client,
    LimitOverride,
    PolicyState,
    Route,
    Tier,
    everything,
)
from apiguard.models.state import PendingChange, committed, publish
from tests.models.world import World, conflicts_in, rename_all, revision, statements

DOORS = {
    "save of a new row": lambda w, _: Route(name="b", path_prefix="/b/").save(),
    "save of a stored row": lambda w, _: w.route.save(),
    "save of some fields": lambda w, _: w.route.save(update_fields=["cost"]),
    "delete of a row": lambda w, _: w.route.delete(),
    "delete that cascades once": lambda w, _: w.policy.delete(),
    "delete that cascades twice": lambda w, _: w.tier.delete(),
    "delete that cascades to another kind": lambda w, _: w.client.delete(),
    "create": lambda w, _: Route.objects.create(name="b", path_prefix="/b/"),
    "get_or_create": lambda w, _: Route.objects.get_or_create(name="b", path_prefix="/b/"),
    "update_or_create of a new row": lambda w, _: Route.objects.update_or_create(
        {"path_prefix": "/b/"}, name="b"
    ),
    "update_or_create of a stored row": lambda w, _: Route.objects.update_or_create(
        {"cost": 2}, name="api"
    ),
    "update": lambda w, _: Route.objects.update(cost=2),
    "update of clients": lambda w, _: Client.objects.filter(slug="acme").update(enabled=False),
    "queryset delete": lambda w, _: Route.objects.all().delete(),
    "queryset delete that cascades": lambda w, _: Tier.objects.filter(slug="free").delete(),
    "queryset delete of clients": lambda w, _: Client.objects.all().delete(),
    "bulk_create": lambda w, _: Route.objects.bulk_create([Route(name="b", path_prefix="/b/")]),
    "bulk_update": lambda w, _: Route.objects.bulk_update(
        rename_all(list(Route.objects.all())), ["name"]
    ),
    "related create": lambda w, _: w.policy.origins.create(pattern="https://b.example"),
    "related add": lambda w, _: w.other.origins.add(w.origin),
    "related set": lambda w, _: w.other.origins.set([w.origin]),
    "related add, one by one": lambda w, _: w.other.origins.add(w.origin, bulk=False),
    "related update": lambda w, _: w.policy.origins.update(enabled=False),
    "related delete": lambda w, _: w.policy.origins.all().delete(),
    "related clear": lambda w, _: Route(cors_policy=w.policy).cors_policy.routes.clear(),
    "loaddata": lambda w, tmp: call_command(
        "loaddata", w.fixture(tmp, name="b", path_prefix="/b/"), verbosity=0
    ),
    "a deletion that did not begin at policy": lambda w, _: models.QuerySet(Route).delete(),
    "publish": lambda w, _: _publish_everything(),
}


def _publish_everything():
    with transaction.atomic():
        publish(everything)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("door", [pytest.param(door, id=name) for name, door in DOORS.items()])
def test_every_door_takes_the_next_revision_before_it_writes(door, tmp_path):
    world = World()
    before, known = revision(), committed.count
    with CaptureQueriesContext(
        connection,
    ) as captured:
        door(world, tmp_path)
    ran = statements(captured)
    begun = [at for at, sql in enumerate(ran) if sql.startswith("BEGIN")]
    written = [at for at, sql in enumerate(ran) if sql.startswith(("INSERT", "UPDATE", "DELETE"))]
    after_begin = [sql for sql in ran[begun[0] + 1 :] if not sql.startswith("SAVEPOINT")]
    assert len(begun) == 1
    assert after_begin[0].startswith('UPDATE "apiguard_policystate"')
    assert written[0] > begun[0]
    assert ran[-1] == "COMMIT"
    assert revision() > before
    assert committed.count > known


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("door", [pytest.param(door, id=name) for name, door in DOORS.items()])
def test_every_door_undone_publishes_nothing(door, tmp_path):
    world = World()
    before, known = revision(), committed.count
    with suppress(ZeroDivisionError), transaction.atomic():
        door(world, tmp_path)
        assert PendingChange.newest("default") is not None
        raise ZeroDivisionError
    assert PendingChange.newest("default") is None
    if PendingChange.alive:
        gc.collect()  # What an exception held in a cycle, of this test or of another.
    assert not PendingChange.alive
    assert (revision(), committed.count) == (before, known)


@pytest.mark.django_db
def test_a_rolled_back_savepoint_hides_nothing_that_came_before_it():
    first = Route.objects.create(name="a", path_prefix="/a/")
    pending = PendingChange.newest("default")
    with suppress(ZeroDivisionError), transaction.atomic():
        first.save()
        assert PendingChange.newest("default") is not pending
        raise ZeroDivisionError
    assert PendingChange.newest("default") is pending


@pytest.mark.django_db
def test_touching_and_rehashing_keys_publish_nothing():
    key, _ = ApiKey.objects.issue(Client.objects.create(slug="a", name="A"), "k")
    before = revision()
    assert ApiKey.objects.touch([key.pk], timezone.now()) == 1
    assert ApiKey.objects.rehash(key.pk, old_digest=key.digest, digest="0" * 64, pepper_id="p")
    assert revision() == before


def test_publish_wants_an_open_transaction(transactional_db):
    with pytest.raises(transaction.TransactionManagementError):
        publish(everything)


# -- what workers are told -------------------------------------------------------


def recent():
    return [(what, pks) for _revision, _stamp, what, pks in PolicyState.objects.get().recent]


@pytest.mark.django_db
def test_a_change_of_keys_names_them():
    client = Client.objects.create(slug="a", name="A")
    key, _ = ApiKey.objects.issue(client, "k")
    key.revoke("lost")
    ApiKey.objects.filter(client=client).update(name="n")
    ApiKey.objects.bulk_update([key], ["name"])
    assert recent() == [
        ("clients", []),
        ("keys", []),
        ("keys", [key.pk]),
        ("keys", [key.pk]),
        ("keys", [key.pk]),
    ]


@pytest.mark.django_db
def test_an_upsert_and_a_change_of_very_many_name_nobody(monkeypatch):
    client = Client.objects.create(slug="a", name="A")
    monkeypatch.setattr("apiguard.models.state.NAMED", 1)
    for name in ("k", "l"):
        ApiKey.objects.issue(client, name)
    ApiKey.objects.update(name="n")
    upserted = Client(pk=client.pk, slug="a", name="B")
    Client.objects.bulk_create(
        [upserted],
        update_conflicts=True,
        unique_fields=conflicts_in("id"),
        update_fields=["name"],
    )
    assert recent()[-2:] == [("keys", None), ("clients", None)]


@pytest.mark.django_db
def test_an_override_names_the_clients_whose_records_hold_it():
    world = World()
    other = Client.objects.create(slug="b", name="B")
    begun = len(recent())
    world.override.client = other
    world.override.save()
    LimitOverride.objects.filter(amount=9).update(amount=8)
    LimitOverride.objects.update(client=world.client)
    LimitOverride.objects.bulk_update(LimitOverride.objects.all(), ["amount"])
    world.override.delete()
    one, two = world.client.pk, other.pk
    named = [[one, two], [two], None, [one], [one]]
    assert recent()[begun:] == [("clients", pks) for pks in named]


@pytest.mark.django_db
def test_a_limit_that_takes_overrides_with_it_makes_workers_forget_clients_once():
    world = World()
    clients = [Client.objects.create(slug=f"c{n}", name="C") for n in range(3)]
    LimitOverride.objects.bulk_create(
        LimitOverride(client=client, limit=world.limit, amount=1) for client in clients
    )
    begun, pk = len(recent()), world.limit.pk
    world.limit.delete()
    assert recent()[begun:] == [("limit", [pk]), ("clients", None)]


@pytest.mark.django_db
def test_rows_that_an_update_matches_are_named_under_the_lock():
    client = Client.objects.create(slug="a", name="A")
    ApiKey.objects.issue(client, "k")
    with CaptureQueriesContext(connection) as captured:
        ApiKey.objects.filter(client=client).update(name="n")
    ran = [sql for sql in statements(captured) if not sql.startswith("SAVEPOINT")]
    assert ran[0].startswith('UPDATE "apiguard_policystate"')
    assert any(sql.startswith('SELECT "apiguard_apikey"."id"') for sql in ran[1:])


# -- rows that must not be overwritten ------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    "bring_back",
    [
        pytest.param(lambda key: key.save(), id="a copy read before it was revoked"),
        pytest.param(
            lambda key: ApiKey(
                pk=key.pk, client=key.client, name="x", key_id=key.key_id, digest=key.digest
            ).save(),
            id="a new object with its primary key",
        ),
        pytest.param(lambda key: key.rotate(timedelta(days=1)), id="a rotation with grace"),
        pytest.param(lambda key: key.rotate(), id="a rotation"),
        pytest.param(lambda key: ApiKey.objects.update(revoked_at=None), id="update"),
        pytest.param(
            lambda key: ApiKey.objects.bulk_update([key], ["revoked_at"]), id="bulk_update"
        ),
        pytest.param(lambda key: _with(key, Value(None)).save(), id="save of an expression"),
        pytest.param(
            lambda key: ApiKey.objects.filter(name="k").update(revoked_at=Value(None)),
            id="update with an expression",
        ),
        pytest.param(
            lambda key: ApiKey.objects.update(revoked_at=models.F("not_before")),
            id="update with another column",
        ),
        pytest.param(
            lambda key: ApiKey.objects.bulk_update([_with(key, Value(None))], ["revoked_at"]),
            id="bulk_update with an expression",
        ),
        pytest.param(lambda key: _upsert(_again(key)), id="upsert"),
        pytest.param(
            lambda key: _upsert(_with(_again(key), Value(None))), id="upsert with an expression"
        ),
        pytest.param(
            lambda key: ApiKey.objects.bulk_create(
                [_again(key)], None, False, True, iter(["revoked_at"]), ["key_id"]
            ),
            id="upsert, told by position",
        ),
    ],
)
def test_nothing_brings_a_revoked_key_back(bring_back):
    stale, _ = ApiKey.objects.issue(Client.objects.create(slug="a", name="A"), "k")
    ApiKey.objects.get().revoke("lost")
    with pytest.raises(ValidationError):
        bring_back(stale)
    assert ApiKey.objects.get().revoked_at is not None


def _with(key, revoked_at):
    key.revoked_at = revoked_at
    return key


def _again(key):
    """A new object that stands in for ``key`` where its public id is taken."""
    return ApiKey(client=key.client, name="again", key_id=key.key_id, digest=key.digest)


def _upsert(key, fields=("name", "revoked_at")):
    ApiKey.objects.bulk_create(
        [key], update_conflicts=True, update_fields=fields, unique_fields=conflicts_in("key_id")
    )


@pytest.mark.django_db
def test_keys_that_are_alive_may_be_revoked_by_an_expression():
    ApiKey.objects.issue(Client.objects.create(slug="a", name="A"), "k")
    before = revision()
    alive = ApiKey.objects.filter(revoked_at=None)
    assert alive.update(revoked_at=Now(), revoke_reason="moved") == 1
    assert revision() == before + 1
    assert ApiKey.objects.get().revoked_at is not None


@pytest.mark.django_db
def test_an_upsert_that_leaves_revocation_alone_is_none_of_its_business():
    key, _ = ApiKey.objects.issue(Client.objects.create(slug="a", name="A"), "k")
    key.revoke("lost")
    _upsert(_again(key), fields=["name"])
    stored = ApiKey.objects.get()
    assert stored.name == "again"
    assert stored.revoked_at is not None


@pytest.mark.django_db
def test_revoking_twice_changes_nothing():
    stale, _ = ApiKey.objects.issue(Client.objects.create(slug="a", name="A"), "k")
    ApiKey.objects.get().revoke("lost")
    before = revision()
    stale.revoke("found")
    assert revision() == before
    assert ApiKey.objects.get().revoke_reason == "lost"


@pytest.mark.django_db
def test_a_row_that_the_database_refuses_publishes_nothing():
    World()
    before = revision()
    with pytest.raises(IntegrityError), transaction.atomic():
        Route.objects.create(name="api", path_prefix="/elsewhere/")
    assert revision() == before
