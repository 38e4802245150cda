"""The registry in a real Redis: what is written, how it is forgotten, what else may be there."""

from __future__ import annotations

import threading

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiguard.concurrency import DaemonThreads
from apiguard.counters.connection import connector
from apiguard.telemetry import worker_registry as module
from apiguard.telemetry.heartbeats import Heartbeat
from apiguard.telemetry.worker_registry import (
    KEPT_SECONDS,
    MAX_LENGTH,
    RegistryUnavailable,
    WorkerRegistry,
    read_within,
)
from tests.examples import examples
from tests.servers import free_port
from tests.stores import redis_cluster

KEY = "apiguard:{workers}"


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url, socket_timeout=20) as client:
        yield client


@pytest.fixture
def registry(client):
    return WorkerRegistry(lambda: client, KEY)


def texts(registry):
    return {word.process: word.text for word in registry.read()}


def test_every_process_has_one_word_its_last(registry):
    registry.write("web-1:1", "a")
    registry.write("web-2:1", "b")
    registry.write("web-1:1", "c with spaces")
    assert texts(registry) == {"web-1:1": "c with spaces", "web-2:1": "b"}


def test_no_worker_has_sent_a_heartbeat(registry):
    assert registry.read() == []


def test_a_word_can_be_taken_back(registry):
    registry.write("web-1:1", "a")
    registry.write("web-2:1", "b")
    registry.remove("web-1:1")
    registry.remove("web-3:1")
    assert texts(registry) == {"web-2:1": "b"}


def put(client, process, ago, text="old"):
    """A word of another time; ages are of the server's clock."""
    seconds, _micro = client.time()
    client.hset(KEY, process, f"{seconds - ago}.000000 {text}")


def test_age_is_measured_by_the_servers_clock(registry, client):
    put(client, "web-1:1", ago=100)
    (word,) = registry.read()
    assert 100 <= word.age < 200
    put(client, "web-1:1", ago=-100)
    assert registry.read()[0].age == 0


def test_old_words_are_not_read_and_leave_when_a_new_process_joins(registry, client):
    put(client, "old:1", ago=KEPT_SECONDS + 5)
    put(client, "young:1", ago=KEPT_SECONDS - 300)
    client.hset(KEY, "garbage:1", "\x00no time")
    assert set(texts(registry)) == {"young:1"}
    registry.write("young:1", "again")
    assert client.hlen(KEY) == 3
    registry.write("new:1", "hello")
    assert {name.decode() for name in client.hkeys(KEY)} == {"young:1", "new:1"}


def test_the_hash_is_forgotten_when_nobody_writes_any_more(registry, client):
    registry.write("web-1:1", "a")
    assert 0 < client.ttl(KEY) <= KEPT_SECONDS


def test_processes_that_come_and_go_do_not_make_it_grow(registry, client):
    for number in range(50):
        put(client, f"gone:{number}", ago=KEPT_SECONDS + 1)
        registry.write(f"web:{number}", "a")
        registry.remove(f"web:{number}")
    assert client.hlen(KEY) <= 1


def test_more_than_workers_ever_say_is_not_read(registry, client, monkeypatch):
    registry.write("web-1:1", "a" * MAX_LENGTH)
    registry.write("web-2:1", "b")
    assert set(texts(registry)) == {"web-2:1"}
    monkeypatch.setattr(module, "MAX_ENTRIES", 1)
    assert registry.read() == []


def test_the_longest_report_there_is_has_room(registry):
    loud = Heartbeat(2**63 - 1, "f" * 32, 1e9, 1e9, 1e9, 1e9, "\U0001f600\\" * 100, 2**63 - 1)
    registry.write("w" * 100, loud.text())
    (word,) = registry.read()
    assert Heartbeat.parse(word.text) == loud


def test_a_client_that_decodes_reads_the_same(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        registry = WorkerRegistry(lambda: client, KEY)
        registry.write("web-1:1", "ä")
        assert texts(registry) == {"web-1:1": "ä"}


names = st.binary(max_size=60)
values = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")),
    st.builds(
        lambda at, rest: f"{at} ".encode() + rest,
        st.one_of(st.floats(), st.integers()),
        st.binary(max_size=200),
    ),
)


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(names, values, max_size=8))
def test_whatever_lies_in_the_hash_it_is_read_without_an_error(registry, client, fields):
    client.delete(KEY)
    for name, value in fields.items():
        client.hset(KEY, name, value)
    registry.write("web-1:1", Heartbeat(revision=1).text())
    said = {word.process: Heartbeat.parse(word.text) for word in registry.read()}
    assert said["web-1:1"] == Heartbeat(revision=1)
    assert all(0 <= word.age <= KEPT_SECONDS for word in registry.read())


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda client: client.set(KEY, "text"), id="a text"),
        pytest.param(lambda client: client.lpush(KEY, "a"), id="a list"),
    ],
)
def test_a_key_of_another_kind_is_unseen(registry, client, spoil):
    spoil(client)
    with pytest.raises(RegistryUnavailable, match="ResponseError"):
        registry.read()


@pytest.mark.parametrize("reply", [None, [], {}, [b"x"], 7, [None, b"a", b"b"]], ids=repr)
def test_an_answer_that_is_none_is_unseen(reply):
    class Odd:
        def eval(self, *arguments):
            return reply

    with pytest.raises(RegistryUnavailable):
        WorkerRegistry(Odd, KEY).read()


def test_a_store_that_is_away_is_unseen_and_its_password_too():
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    with redis.Redis.from_url(url) as client, pytest.raises(RegistryUnavailable) as caught:
        WorkerRegistry(lambda: client, KEY).read()
    assert str(caught.value) == "ConnectionError"


class Hanging:
    """A store that answers when it is told to."""

    def __init__(self):
        self.answers = threading.Event()
        self.asked = 0

    def eval(self, *arguments):
        self.asked += 1
        assert self.answers.wait(20)
        return [b"1.0", b"web-1:1", b"1.0 a"]


def test_a_page_does_not_wait_for_a_store_that_hangs_and_threads_do_not_pile_up():
    store = Hanging()
    registry = WorkerRegistry(lambda: store, KEY)
    try:
        for _ in range(3):
            with pytest.raises(RegistryUnavailable, match="Timeout"):
                read_within(registry, 0.01)
        assert store.asked == 1
    finally:
        store.answers.set()
    (word,) = read_within(registry, 20)
    assert word.process == "web-1:1"


def test_a_page_is_told_what_the_board_says(registry, client):
    registry.write("web-1:1", "a")
    assert [word.text for word in read_within(registry, 20)] == ["a"]
    client.delete(KEY)
    client.set(KEY, "text")
    with pytest.raises(RegistryUnavailable, match="ResponseError"):
        read_within(registry, 20)


def test_without_a_thread_a_page_sees_nothing(registry, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "_reader", DaemonThreads("tests", most=1, max_queue=1))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RegistryUnavailable):
        read_within(registry, 20)


@pytest.mark.slow
def test_in_a_cluster_it_is_all_the_same():
    with redis_cluster() as servers:
        registry = WorkerRegistry(
            connector(f"redis+cluster://127.0.0.1:{servers[0].port}", 20), KEY
        )
        registry.write("web-1:1", "a")
        registry.write("web-2:1", "b")
        registry.remove("web-1:1")
        assert texts(registry) == {"web-2:1": "b"}
        registry.connect().close()
