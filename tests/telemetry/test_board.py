"""The board in a real Redis: what is left there, how it is forgotten, what else may lie there."""

from __future__ import annotations

import threading

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apiguard.counters.connect import connector
from apiguard.telemetry import board as module
from apiguard.telemetry.board import KEPT_SECONDS, MAX_LENGTH, Board, Unseen, read_within
from apiguard.telemetry.report import Report
from tests.servers import free_port
from tests.stores import redis_cluster

KEY = "apiguard:{workers}"


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url, socket_timeout=20) as client:
        yield client


@pytest.fixture
def board(client):
    return Board(lambda: client, KEY)


def texts(board):
    return {word.process: word.text for word in board.read()}


def test_every_process_has_one_word_its_last(board):
    board.write("web-1:1", "a")
    board.write("web-2:1", "b")
    board.write("web-1:1", "c with spaces")
    assert texts(board) == {"web-1:1": "c with spaces", "web-2:1": "b"}


def test_nobody_has_said_anything_yet(board):
    assert board.read() == []


def test_a_word_can_be_taken_back(board):
    board.write("web-1:1", "a")
    board.write("web-2:1", "b")
    board.remove("web-1:1")
    board.remove("web-3:1")
    assert texts(board) == {"web-2:1": "b"}


def put(client, process, ago, text="old"):
    """A word of another time; ages are of the server's clock."""
    seconds, _micro = client.time()
    client.hset(KEY, process, f"{seconds - ago}.000000 {text}")


def test_age_is_told_by_the_servers_clock(board, client):
    put(client, "web-1:1", ago=100)
    (word,) = board.read()
    assert 100 <= word.age < 200
    put(client, "web-1:1", ago=-100)
    assert board.read()[0].age == 0


def test_old_words_are_not_read_and_leave_when_a_new_process_joins(board, client):
    put(client, "old:1", ago=KEPT_SECONDS + 5)
    put(client, "young:1", ago=KEPT_SECONDS - 300)
    client.hset(KEY, "garbage:1", "\x00no time")
    assert set(texts(board)) == {"young:1"}
    board.write("young:1", "again")
    assert client.hlen(KEY) == 3
    board.write("new:1", "hello")
    assert {name.decode() for name in client.hkeys(KEY)} == {"young:1", "new:1"}


def test_the_hash_is_forgotten_when_nobody_writes_any_more(board, client):
    board.write("web-1:1", "a")
    assert 0 < client.ttl(KEY) <= KEPT_SECONDS


def test_processes_that_come_and_go_do_not_make_it_grow(board, client):
    for number in range(50):
        put(client, f"gone:{number}", ago=KEPT_SECONDS + 1)
        board.write(f"web:{number}", "a")
        board.remove(f"web:{number}")
    assert client.hlen(KEY) <= 1


def test_more_than_workers_ever_say_is_not_read(board, client, monkeypatch):
    board.write("web-1:1", "a" * MAX_LENGTH)
    board.write("web-2:1", "b")
    assert set(texts(board)) == {"web-2:1"}
    monkeypatch.setattr(module, "MAX_WORDS", 1)
    assert board.read() == []


def test_the_longest_report_there_is_has_room(board):
    loud = Report(2**63 - 1, "f" * 32, 1e9, 1e9, 1e9, 1e9, "\U0001f600\\" * 100, 2**63 - 1)
    board.write("w" * 100, loud.text())
    (word,) = board.read()
    assert Report.read(word.text) == loud


def test_a_client_that_decodes_reads_the_same(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        board = Board(lambda: client, KEY)
        board.write("web-1:1", "ä")
        assert texts(board) == {"web-1:1": "ä"}


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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(names, values, max_size=8))
def test_whatever_lies_in_the_hash_it_is_read_without_an_error(board, client, fields):
    client.delete(KEY)
    for name, value in fields.items():
        client.hset(KEY, name, value)
    board.write("web-1:1", Report(revision=1).text())
    said = {word.process: Report.read(word.text) for word in board.read()}
    assert said["web-1:1"] == Report(revision=1)
    assert all(0 <= word.age <= KEPT_SECONDS for word in board.read())


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda client: client.set(KEY, "text"), id="a text"),
        pytest.param(lambda client: client.lpush(KEY, "a"), id="a list"),
    ],
)
def test_a_key_of_another_kind_is_unseen(board, client, spoil):
    spoil(client)
    with pytest.raises(Unseen, match="ResponseError"):
        board.read()


@pytest.mark.parametrize("reply", [None, [], {}, [b"x"], 7, [None, b"a", b"b"]], ids=repr)
def test_an_answer_that_is_none_is_unseen(reply):
    class Odd:
        def eval(self, *arguments):
            return reply

    with pytest.raises(Unseen):
        Board(Odd, KEY).read()


def test_a_store_that_is_away_is_unseen_and_its_password_too():
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    with redis.Redis.from_url(url) as client, pytest.raises(Unseen) as caught:
        Board(lambda: client, KEY).read()
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
    board = Board(lambda: store, KEY)
    try:
        for _ in range(3):
            with pytest.raises(Unseen, match="Timeout"):
                read_within(board, 0.01)
        assert store.asked == 1
    finally:
        store.answers.set()
    (word,) = read_within(board, 20)
    assert word.process == "web-1:1"


def test_a_page_is_told_what_the_board_says(board, client):
    board.write("web-1:1", "a")
    assert [word.text for word in read_within(board, 20)] == ["a"]
    client.delete(KEY)
    client.set(KEY, "text")
    with pytest.raises(Unseen, match="ResponseError"):
        read_within(board, 20)


def test_without_a_thread_a_page_sees_nothing(board, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(Unseen):
        read_within(board, 20)


@pytest.mark.slow
def test_in_a_cluster_it_is_all_the_same():
    with redis_cluster() as servers:
        board = Board(connector(f"redis+cluster://127.0.0.1:{servers[0].port}", 20), KEY)
        board.write("web-1:1", "a")
        board.write("web-2:1", "b")
        board.remove("web-1:1")
        assert texts(board) == {"web-2:1": "b"}
        board.connect().close()
