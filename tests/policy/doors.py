"""Every door through which a policy row can change, tried on a real database; see test_doors.

``python -m tests.policy.doors`` on the migrated database of
``TEST_DATABASE_URL``. Prints one JSON object: door -> the promises that it breaks.
"""

# ruff: noqa: E402 - models exist only after setup()

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import django

django.setup()

from django.core import serializers
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.db.models.deletion import Collector
from django.forms import inlineformset_factory
from django.test.utils import override_settings

from apiguard.models import ApiKey, Client, Limit, LimitOverride, PolicyState, Route, Tier
from apiguard.policy import lookups
from apiguard.policy.holder import PolicyHolder

TABLE = Route._meta.db_table


class World:
    """Rows for every door to change, the same before each."""

    def __init__(self) -> None:
        for model in (LimitOverride, ApiKey, Client, Route, Limit, Tier):
            model._base_manager.all()._raw_delete("default")
        self.tier = Tier.objects.create(slug="tier", name="Tier")
        self.limit = Limit.objects.create(tier=self.tier, name="m", amount=5, period=60)
        self.client = Client.objects.create(slug="client", name="Client", tier=self.tier)
        self.override = LimitOverride.objects.create(client=self.client, limit=self.limit, amount=9)
        self.key, _ = ApiKey.objects.issue(self.client, "key")
        self.route = Route.objects.create(name="one", path_prefix="/one/")
        self.other = Route.objects.create(name="two", path_prefix="/two/")
        self.spare = Tier.objects.create(slug="spare", name="Spare")

    # -- single rows ------------------------------------------------------------

    def save_a_new_row(self) -> None:
        Route(name="new", path_prefix="/new/").save()

    def save_a_row(self) -> None:
        self.route.cost = 7
        self.route.save()

    def save_one_field(self) -> None:
        self.route.cost = 7
        self.route.save(update_fields=["cost"])

    def delete_a_row(self) -> None:
        self.route.delete()

    def delete_a_row_whose_rows_cascade(self) -> None:
        self.limit.delete()

    def revoke_a_key(self) -> None:
        self.key.revoke("lost")

    def rotate_a_key(self) -> None:
        self.key.rotate()

    def disable_a_client(self) -> None:
        self.client.enabled = False
        self.client.save()

    # -- querysets and managers ---------------------------------------------------

    def create(self) -> None:
        Route.objects.create(name="new", path_prefix="/new/")

    def get_or_create(self) -> None:
        Route.objects.get_or_create(name="new", path_prefix="/new/")

    def update_or_create_a_row(self) -> None:
        Route.objects.update_or_create({"cost": 7}, name="one")

    def update_or_create_a_new_row(self) -> None:
        Route.objects.update_or_create({"path_prefix": "/new/"}, name="new")

    def update(self) -> None:
        Route.objects.filter(name="one").update(cost=7)

    def update_by_an_expression(self) -> None:
        Route.objects.update(cost=F("cost") + 1)

    def update_keys(self) -> None:
        ApiKey.objects.update(scopes=["a:b"])

    def update_clients(self) -> None:
        Client.objects.update(enabled=False)

    def update_through_the_base_manager(self) -> None:
        Route._base_manager.update(cost=7)

    def bulk_create(self) -> None:
        Route.objects.bulk_create([Route(name="new", path_prefix="/new/")])

    def bulk_create_over_rows(self) -> None:
        Route.objects.bulk_create(
            [Route(name="one", path_prefix="/one/", cost=7)],
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=["cost"],
        )

    def bulk_update(self) -> None:
        self.route.cost = self.other.cost = 7
        Route.objects.bulk_update([self.route, self.other], ["cost"], batch_size=1)

    def delete_many(self) -> None:
        Route.objects.filter(name__in=["one", "two"]).delete()

    def delete_many_whose_rows_cascade(self) -> None:
        Limit.objects.all().delete()

    def create_through_a_relation(self) -> None:
        self.tier.limits.create(name="new", amount=1, period=1)

    def move_through_a_relation(self) -> None:
        self.spare.limits.add(self.limit)

    def move_through_a_relation_in_bulk(self) -> None:
        self.spare.limits.set([self.limit], bulk=True)

    # -- forms, fixtures, and what passes none of them ---------------------------------

    def inline_formset(self) -> None:
        formset = inlineformset_factory(Tier, Limit, fields=["name", "kind", "amount", "period"])
        sent = {
            "limits-TOTAL_FORMS": "2",
            "limits-INITIAL_FORMS": "1",
            "limits-0-id": str(self.limit.pk),
            "limits-0-tier": str(self.tier.pk),
            **_limit_form(0, "m", 6),
            **_limit_form(1, "n", 7),
        }
        filled = formset(sent, instance=self.tier)
        assert filled.is_valid(), filled.errors
        filled.save()

    def fixture(self) -> None:
        self.route.cost = 7
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.json"
            path.write_text(serializers.serialize("json", [self.route]))
            call_command("loaddata", str(path), verbosity=0)

    def raw_save(self) -> None:
        self.route.cost = 7
        [row] = serializers.deserialize("json", serializers.serialize("json", [self.route]))
        row.save()

    def collector(self) -> None:
        collector = Collector(using="default")
        collector.collect([self.route])
        collector.delete()

    def raw_sql_and_the_command(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {TABLE} SET cost = 7")  # noqa: S608 - its own name
        call_command("apiguard", "publish", verbosity=0)


def _limit_form(number: int, name: str, amount: int) -> dict[str, str]:
    fields = {"name": name, "kind": "window", "amount": str(amount), "period": "60"}
    return {f"limits-{number}-{field}": value for field, value in fields.items()}


DOORS = [name for name in vars(World) if not name.startswith("_")]


class Reader:
    """Believes what it holds, like a worker."""

    def __init__(self) -> None:
        self.holder = PolicyHolder()

    def believes(self) -> Any:
        """All that this process would judge by."""
        snapshot = self.holder.snapshot()
        assert snapshot is not None
        for key_id in KEY_IDS:
            if snapshot.keyring.get(key_id) is None:
                lookups.key(snapshot, key_id)
        keys = {key_id: snapshot.keyring.get(key_id) for key_id in KEY_IDS}
        return dict(snapshot.routes._entries), snapshot.tiers, keys


KEY_IDS: list[str] = []


def broken(door: str) -> list[str]:
    """Which promises this door breaks."""
    found = []
    for promise in (committed, rolled_back, rolled_back_savepoint):
        world = World()
        KEY_IDS[:] = [world.key.key_id]
        reader = Reader()
        before = reader.believes()
        found += [f"{promise.__name__}: {what}" for what in promise(world, door, reader, before)]
    return found


def committed(world: World, door: str, reader: Reader, before: Any) -> list[str]:
    """What is committed, a worker sees, and nothing else."""
    revision = PolicyState.objects.get().revision
    getattr(world, door)()
    after, truth = reader.believes(), Reader().believes()
    return [
        *(["it changes nothing that can be seen"] if truth == before else []),
        *(["a worker misses it"] if after != truth else []),
        *(["no revision"] if PolicyState.objects.get().revision == revision else []),
    ]


def rolled_back(world: World, door: str, reader: Reader, before: Any) -> list[str]:
    """What is rolled back, nobody sees; what comes after it, everybody."""
    state = PolicyState.objects.get()
    with suppress(ZeroDivisionError), transaction.atomic():
        getattr(world, door)()
        inside = Reader().believes()
        raise ZeroDivisionError
    unseen = reader.believes() == before and PolicyState.objects.get().stamp == state.stamp
    Route.objects.create(name="later", path_prefix="/later/")
    return [
        *(["its own transaction does not see it"] if inside == before else []),
        *([] if unseen else ["it is seen"]),
        *([] if reader.believes() == Reader().believes() else ["it hides a later change"]),
    ]


def rolled_back_savepoint(world: World, door: str, reader: Reader, before: Any) -> list[str]:
    """The same of a savepoint, inside a transaction that goes on to change something else."""
    with transaction.atomic():
        with suppress(ZeroDivisionError), transaction.atomic():
            getattr(world, door)()
            raise ZeroDivisionError
        Route.objects.create(name="beside", path_prefix="/beside/")
    after, truth = reader.believes(), Reader().believes()
    routes = {prefix for prefix in after[0] if prefix not in before[0]}
    return [
        *(["a worker misses what was committed"] if after != truth else []),
        *(["something else was changed"] if len(routes) != 1 or after[1:] != before[1:] else []),
    ]


if __name__ == "__main__":
    with override_settings(APIGUARD={"POLICY_MAX_AGE": 0}):
        print(json.dumps({door: broken(door) for door in DOORS}))  # noqa: T201 - its answer
