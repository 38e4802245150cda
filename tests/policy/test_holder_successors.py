"""What a new snapshot takes over from the one before: whatever did not change."""

from __future__ import annotations

import pytest
from django.db import transaction

from apiguard.models import ApiKey, Client, PolicyState, everything
from apiguard.models.state import publish
from apiguard.policy import holder as module
from apiguard.policy import load, lookups
from apiguard.policy.keyring import UNKNOWN
from tests.policy.processes import (
    AGE,
    add_route,
    elsewhere,
)


@pytest.fixture
def keys(holder):
    """Two clients with a key each, both looked up, and an unknown key."""
    made = {}
    for name in ("a", "b"):
        client = Client.objects.create(slug=name, name=name)
        made[name], _ = ApiKey.objects.issue(client, name)
    snapshot = holder.snapshot()
    for key in made.values():
        lookups.key(snapshot, key.key_id)
    lookups.key(snapshot, "nobody")
    return made


def taken_over(before, after, keys):
    ids = {name: key.key_id for name, key in keys.items()}
    return {name for name, i in ids.items() if after.keyring.get(i) is before.keyring.get(i)}


def revoked(snapshot, keys):
    return {name for name, key in keys.items() if snapshot.keyring.get(key.key_id).revoked}


@pytest.mark.parametrize(
    ("change", "kept", "recompiled"),
    [
        pytest.param(lambda keys: keys["a"].revoke("lost"), {"b"}, False, id="a key"),
        pytest.param(lambda keys: keys["a"].client.save(), {"b"}, False, id="a client"),
        pytest.param(
            lambda keys: Client.objects.filter(slug="a").update(enabled=False),
            {"b"},
            False,
            id="clients",
        ),
        pytest.param(
            lambda keys: ApiKey.objects.issue(keys["a"].client, "new"),
            {"a", "b"},
            False,
            id="a new key",
        ),
        pytest.param(lambda keys: add_route("r"), {"a", "b"}, True, id="a route"),
        pytest.param(
            lambda keys: [add_route("r"), keys["b"].revoke("lost")], {"a"}, True, id="both"
        ),
        pytest.param(lambda keys: publish_all(), set(), True, id="everything"),
        pytest.param(
            lambda keys: [Client.objects.update(metadata={}) for _ in range(65)],
            set(),
            True,
            id="too many to tell",
        ),
        pytest.param(
            lambda keys: PolicyState.objects.update(stamp="restored", recent=[]),
            set(),
            True,
            id="nobody knows what",
        ),
    ],
)
def test_a_successor_keeps_what_did_not_change(holder, clock, keys, change, kept, recompiled):
    before = holder.snapshot()
    elsewhere(lambda: change(keys))
    clock.forward(AGE)
    after = holder.snapshot()
    assert after is not before
    assert taken_over(before, after, keys) == kept
    # The others are in use: they are there as they are now.
    now = {name: load.key(key.key_id) for name, key in keys.items()}
    assert {name: after.keyring.get(key.key_id) for name, key in keys.items()} == now
    assert (after.routes is before.routes) is not recompiled
    assert after.keyring.get("nobody") is None
    assert before.keyring.get("nobody") == UNKNOWN


def publish_all():
    with transaction.atomic():
        publish(everything)


def test_a_key_revoked_while_rows_are_read_is_forgotten_too(holder, clock, keys, monkeypatch):
    read = load._all_rows

    def read_while_a_key_is_revoked(*args):
        rows = read(*args)
        ApiKey.objects.get(pk=keys["a"].pk).revoke("lost")
        return rows

    elsewhere(lambda: add_route("r"))
    clock.forward(AGE)
    before = holder._held
    monkeypatch.setattr(load, "_all_rows", read_while_a_key_is_revoked)
    after = holder.snapshot()
    assert taken_over(before, after, keys) == {"b"}
    assert revoked(after, keys) == {"a"}


def test_a_record_that_was_read_too_early_dies_with_its_snapshot(holder, clock, keys):
    before = holder.snapshot()
    stale = load.key(keys["a"].key_id)
    elsewhere(lambda: keys["a"].revoke("lost"))
    clock.forward(AGE)
    after = holder.snapshot()
    before.keyring.put(stale.key_id, stale)
    assert taken_over(before, after, keys) == {"b"}
    assert revoked(after, keys) == {"a"}
    assert lookups.key(after, keys["a"].key_id).revoked


def test_of_very_many_keys_in_use_the_last_used_ones_are_read_again(
    holder, clock, keys, monkeypatch
):
    monkeypatch.setattr(module, "MAX_REREAD", 1)
    holder.snapshot().keyring.get(keys["a"].key_id)
    elsewhere(publish_all)
    clock.forward(AGE)
    after = holder.snapshot()
    assert [after.keyring.get(keys[name].key_id) is not None for name in "ab"].count(True) == 1
