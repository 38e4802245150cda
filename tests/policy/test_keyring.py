"""The keyring is bounded, and forgets what it is told to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from apiguard.policy import keyring as module
from apiguard.policy.keyring import UNKNOWN, Keyring


def record(pk, client=1):
    return SimpleNamespace(pk=pk, key_id=f"k{pk}", client=SimpleNamespace(pk=client))


def test_it_tells_known_from_unknown_from_never_asked():
    ring = Keyring([record(1)])
    ring.put("ghost", None)
    assert ring.get("k1").pk == 1
    assert ring.get("ghost") == UNKNOWN
    assert ring.get("other") is None


def test_a_closed_one_knows_all_there_is():
    assert Keyring(closed=True).get("other") == UNKNOWN


def test_the_oldest_goes_if_there_is_no_room(monkeypatch):
    monkeypatch.setattr(module, "MAX_RECORDS", 2)
    ring = Keyring()
    for pk in (1, 2, 3):
        ring.put(f"k{pk}", record(pk))
    assert (len(ring), ring.get("k1"), ring.get("k3").pk) == (2, None, 3)


def test_a_flood_of_unknown_ids_pushes_out_no_good_key(monkeypatch):
    monkeypatch.setattr(module, "MAX_UNKNOWN", 2)
    ring = Keyring([record(1)])
    for name in "abc":
        ring.put(name, None)
    assert ring.get("k1").pk == 1
    assert [ring.get(name) for name in "abc"] == [None, UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    ("keys", "clients", "kept"),
    [
        pytest.param((), (), ["k1", "k2", "k3"], id="nobody"),
        pytest.param({1}, (), ["k2", "k3"], id="a key"),
        pytest.param((), {2}, ["k1"], id="a client"),
        pytest.param(None, (), [], id="all keys"),
        pytest.param((), None, [], id="all clients"),
    ],
)
def test_a_successor_forgets_what_changed_and_all_that_was_unknown(keys, clients, kept):
    ring = Keyring([record(1, 1), record(2, 2), record(3, 2)], unknown=["ghost"])
    successor = ring.without(keys, clients)
    assert [name for name in ("k1", "k2", "k3") if successor.get(name) is not None] == kept
    assert successor.get("ghost") is None
    assert len(ring) == 3
