"""The keyring is bounded, and forgets what it is told to."""

from __future__ import annotations

import threading
import tracemalloc
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from apiguard.models import ApiKey, Client
from apiguard.policy import keyring as module
from apiguard.policy.keyring import UNKNOWN, Keyring
from apiguard.policy.records import key_record


def record(pk, client=1):
    return SimpleNamespace(pk=pk, key_id=f"k{pk}", client=SimpleNamespace(pk=client))


def test_known_unknown_and_never_looked_up_keys_are_distinct():
    ring = Keyring([record(1)])
    ring.put("ghost", None)
    assert ring.get("k1").pk == 1
    assert ring.get("ghost") == UNKNOWN
    assert ring.get("other") is None


def test_a_closed_one_knows_all_there_is():
    assert Keyring(closed=True).get("other") == UNKNOWN


def test_it_holds_a_bounded_number_of_keys_and_keeps_those_that_are_in_use(monkeypatch):
    monkeypatch.setattr(module, "MAX_RECORDS", 10)
    ring = Keyring([record(0)])
    for pk in range(1, 1000):
        ring.put(f"k{pk}", record(pk))
        assert ring.get("k0").pk == 0
    assert len(ring) <= 20
    assert ring.get("k1") is None


def test_a_flood_of_unknown_ids_pushes_out_no_good_key_and_is_bounded_itself(monkeypatch):
    monkeypatch.setattr(module, "MAX_UNKNOWN", 10)
    ring = Keyring([record(1)])
    for number in range(1000):
        ring.put(f"ghost{number}", None)
    assert ring.get("k1").pk == 1
    assert (ring.get("ghost999"), ring.get("ghost0")) == (UNKNOWN, None)
    assert len(ring._unknown) <= 20


def test_a_closed_one_loses_none_of_its_keys(monkeypatch):
    monkeypatch.setattr(module, "MAX_RECORDS", 2)
    ring = Keyring(map(record, range(100)), closed=True)
    assert all(ring.get(f"k{pk}").pk == pk for pk in range(100))


def test_what_a_full_one_takes_of_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_RECORDS", 500)
    monkeypatch.setattr(module, "MAX_UNKNOWN", 500)
    ring = Keyring()

    def flood(begin):
        for number in range(begin, begin + 2000):
            ring.put(f"k{number}", key_record(row(number)))
            ring.put(f"ghost{number}", None)

    tracemalloc.start()
    try:
        flood(0)
        full, _ = tracemalloc.get_traced_memory()
        for round_ in range(1, 4):
            flood(round_ * 2000)
        later, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert full <= 2 * 500 * (3000 + 400)
    assert later <= 1.5 * full


def row(pk):
    client = Client(pk=pk, slug=f"client-{pk}", name=f"Client {pk}", tier_id=1, metadata={"n": pk})
    return ApiKey(
        pk=pk,
        client=client,
        name=f"key {pk}",
        environment="live",
        key_id=f"{pk:012d}",
        digest=f"{pk:064x}",
        pepper_id="p",
        scopes=["orders:read", "orders:write"],
        allowed_networks=["10.0.0.0/8"],
    )


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


@pytest.mark.parametrize(
    ("keys", "clients"),
    [
        pytest.param((), (), id="nobody"),
        pytest.param({2}, (), id="another key"),
        pytest.param({1}, (), id="the key"),
        pytest.param((), {1}, id="the client"),
        pytest.param(None, (), id="all keys"),
        pytest.param((), None, id="all clients"),
    ],
)
def test_a_successor_remembers_no_callers(keys, clients):
    ring = Keyring([record(1), record(2)])
    caller = object()
    ring.remember("name", caller)
    assert ring.caller("name") is caller
    assert ring.without(keys, clients).caller("name") is None
    assert ring.caller("name") is caller


def test_callers_are_bounded_and_those_that_come_again_stay(monkeypatch):
    monkeypatch.setattr(module, "MAX_RECORDS", 10)
    for ring in (Keyring(), Keyring(closed=True)):
        for number in range(1000):
            ring.remember(number, f"caller {number}")
            assert ring.caller(0) == "caller 0"
        assert len(ring._callers) <= 20
        assert (ring.caller(1), ring.caller(999)) == (None, "caller 999")


def test_callers_are_known_by_no_key_id_and_keys_by_no_name_of_a_caller():
    ring = Keyring([record(1)])
    ring.remember("k2", "a caller")
    assert ring.get("k2") is None
    assert ring.caller("k1") is None


SECONDS_TO_WAIT = 30
KEYS = st.integers(0, 8)


class OneWorker(RuleBasedStateMachine):
    """A keyring and its successors against a database that is a dict.

    Requests look up through the newest keyring or through an older one, as a
    request does that began before a change; the newest one is never wrong.
    """

    @initialize()
    def begin(self):
        # Key id -> (pk, client, version); what changes gets a new version.
        self.database, self.version = {}, 0
        self.newest, self.older = Keyring(), Keyring()

    def _change(self, keys, clients):
        self.older, self.newest = self.newest, self.newest.without(keys, clients)

    @rule(pk=KEYS)
    def issue(self, pk):
        if f"k{pk}" not in self.database:
            self.database[f"k{pk}"] = (pk, pk % 3, self.version)
            self._change((), ())

    @rule(pk=KEYS)
    def change_a_key(self, pk):
        self._rewrite(lambda row: row[0] == pk)
        self._change({pk}, ())

    @rule(client=st.integers(0, 2))
    def change_a_client(self, client):
        self._rewrite(lambda row: row[1] == client)
        self._change((), {client})

    @rule()
    def change_what_nobody_can_tell(self):
        self._rewrite(lambda row: True)
        self._change(None, None)

    def _rewrite(self, touched):
        self.version += 1
        for key_id, row in self.database.items():
            if touched(row):
                self.database[key_id] = (*row[:2], self.version)

    @rule(pk=KEYS, late=st.booleans())
    def ask(self, pk, late):
        ring, key_id = self.older if late else self.newest, f"k{pk}"
        answer, row = ring.get(key_id), self.database.get(key_id)
        if answer is None:
            ring.put(key_id, None if row is None else self._record(*row))
        elif not late:
            assert answer == (UNKNOWN if row is None else self._record(*row))

    @staticmethod
    def _record(pk, client, version):
        return SimpleNamespace(
            pk=pk, key_id=f"k{pk}", client=SimpleNamespace(pk=client), version=version
        )


TestOneWorker = OneWorker.TestCase


def test_threads_that_fill_a_keyring_while_it_is_succeeded_lose_and_mix_up_nothing():
    current, wrong, done = [Keyring()], [], threading.Event()

    def ask():
        number = 0
        try:
            while not done.is_set():
                number = (number + 1) % 300
                ring = current[0]
                answer = ring.get(f"k{number}")
                if answer is None:
                    ring.put(f"k{number}", record(number, number % 7))
                elif answer.pk != number:
                    wrong.append(answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what this test looks for
            wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for change in range(200):
        successor = current[0].without({change}, {change % 7})
        gone = [one for one in successor._records.values() if one.pk == change]
        wrong.extend(
            gone + [one for one in successor._records.values() if one.client.pk == change % 7]
        )
        current[0] = successor
    done.set()
    for thread in threads:
        thread.join(SECONDS_TO_WAIT)
    assert wrong == []
