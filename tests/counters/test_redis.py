from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Connection, Redis, RedisCluster

from apiguard.counters.base import StoreFailed, hash_principal, key_for
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import MICROSECONDS, Counted, Decision, Limit
from tests.counters.checking import check
from tests.examples import examples

START = 1_790_000_000_123_457
# The day and the month began a minute ago.
FIRST_OF_MONTH = 1_790_812_860_000_000
WINDOW = Limit(1, "per-minute", "window", 100, 60)
QUOTA = Limit(2, "per-month", "quota", 1000, 0, "month")
KEYS = [key_for("test", hash_principal("p"), limit.pk) for limit in (WINDOW, QUOTA)]


@pytest.fixture
def counter(redis_client) -> RedisCounter:
    return RedisCounter(lambda: redis_client, "test")


def calls(client: Redis) -> dict[str, int]:
    return {name: stats["calls"] for name, stats in client.info("commandstats").items()}


def test_a_decision_is_one_command_of_ours(monkeypatch, counter):
    check(counter, "p", [WINDOW, QUOTA], 1)
    sent = []
    send = Connection.send_packed_command
    monkeypatch.setattr(
        Connection,
        "send_packed_command",
        lambda self, command, **options: sent.append(command) or send(self, command, **options),
    )
    for _ in range(5):
        check(counter, "p", [WINDOW, QUOTA], 1)
    assert len(sent) == 5
    assert all(b"EVALSHA" in b"".join(command) for command in sent)


def test_a_server_that_forgot_the_script_is_taught_it_in_the_same_decision(redis_client, counter):
    check(counter, "p", [WINDOW], 1)
    redis_client.script_flush()
    assert check(counter, "p", [WINDOW], 1).counted[0].used == 2
    redis_client.config_resetstat()
    assert check(counter, "p", [WINDOW], 1).counted[0].used == 3
    stats = calls(redis_client)
    assert stats["cmdstat_evalsha"] == 1
    assert "cmdstat_eval" not in stats


def test_a_decision_without_limits_sends_no_command():
    def connect() -> Redis:
        raise AssertionError("not needed")

    assert check(RedisCounter(connect), "p", [], 1).allowed


def test_the_servers_clock_counts(redis_client, counter):
    before = redis_client.time()
    now = check(counter, "p", [WINDOW], 1).now
    after = redis_client.time()
    assert before[0] * MICROSECONDS + before[1] <= now <= after[0] * MICROSECONDS + after[1]


def test_every_key_has_an_expiry(redis_client, counter):
    check(counter, "p", [WINDOW, QUOTA], 1)
    assert sorted(redis_client.keys()) == sorted(key.encode() for key in KEYS)
    assert 60_000 < redis_client.pttl(KEYS[0]) <= 67_000
    assert 0 < redis_client.pttl(KEYS[1]) <= 31 * 86_400_000 + 5_000


def test_an_expiry_lasts_for_whatever_is_counted_until_another_is_set(redis_client):
    now = START
    counter = RedisCounter(lambda: redis_client, "test", clock=lambda: now)
    kept = 0
    for _ in range(400):
        now += 1_317_000
        assert check(counter, "p", [WINDOW], 1).allowed
        written = redis_client.get(KEYS[0])
        until = int.from_bytes(written[1:8], "little")
        assert now + 60 * MICROSECONDS <= until
        if until != kept:  # Then it was the server that was told so.
            assert redis_client.pttl(KEYS[0]) * 1000 >= until - now
        kept = until


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(("window", 60, ""), ("window", 86400, ""), id="a longer window"),
        pytest.param(("window", 86400, ""), ("window", 60, ""), id="a shorter window"),
        pytest.param(("window", 60, ""), ("quota", 0, "month"), id="a quota instead of a window"),
        pytest.param(("quota", 0, "day"), ("quota", 0, "month"), id="a month instead of a day"),
        pytest.param(("quota", 0, "day"), ("window", 60, ""), id="a window instead of a quota"),
    ],
)
def test_a_limit_of_another_length_has_an_expiry_of_that_length(redis_client, before, after):
    counter = RedisCounter(lambda: redis_client, "test", clock=lambda: FIRST_OF_MONTH)
    for kind, period, calendar in (before, after):
        limit = Limit(1, "changed", kind, 1000, period, calendar)
        check(counter, "p", [limit], 1)
        check(counter, "p", [limit], 1)
        lasts = {"": period, "day": 86400, "month": 31 * 86400}[calendar] * 1000
        assert lasts <= redis_client.pttl(KEYS[0]) + 60_000 <= lasts * 33 / 32 + 66_000


def test_a_clock_that_is_set_back_leaves_no_key_that_never_expires(redis_client):
    now = START
    counter = RedisCounter(lambda: redis_client, "test", clock=lambda: now)
    check(counter, "p", [WINDOW], 1)
    redis_client.persist(KEYS[0])
    now -= 3600 * MICROSECONDS
    check(counter, "p", [WINDOW], 1)
    assert 0 < redis_client.pttl(KEYS[0]) <= 67_000


def test_refused_and_uncounted_requests_write_nothing(redis_client, counter):
    check(counter, "p", [WINDOW], 101)
    check(counter, "p", [WINDOW, QUOTA], 1, commit=False)
    assert redis_client.keys() == []


@pytest.mark.parametrize("period", [1, 60, 3600, 86400, 7 * 86400, 31 * 86400])
def test_a_full_log_has_33_entries_in_382_bytes(redis_client, period):
    now = START
    counter = RedisCounter(lambda: redis_client, "test", clock=lambda: now)
    limit = Limit(1, "full", "window", 100_000, period)
    for _ in range(130):
        now += period * MICROSECONDS // 96 + 1
        check(counter, "p", [limit], 800)
    # What a server adds to that depends on its allocator: see benchmarks.limits.
    assert len(redis_client.get(KEYS[0])) == 19 + 33 * 11


def plant_hash(client: Redis, key: str) -> None:
    client.hset(key, "a", "b")


def plant_list(client: Redis, key: str) -> None:
    client.rpush(key, "a")


@pytest.mark.parametrize("plant", [plant_hash, plant_list])
def test_a_key_of_another_type_is_an_empty_tally(redis_client, counter, plant):
    for key in KEYS:
        plant(redis_client, key)
    decision = check(counter, "p", [WINDOW, QUOTA], 1)
    assert [one.used for one in decision.counted] == [1, 1]
    assert check(counter, "p", [WINDOW, QUOTA], 1).counted[1].used == 2
    assert redis_client.pttl(KEYS[0]) > 0


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"L", id="a mark"),
        pytest.param(b"L" + b"\1" * 18, id="a log without entries"),
        pytest.param(b"L" + b"\1" * 28, id="a log cut short"),
        pytest.param(b"M" + b"\1" * 29, id="a log with another mark"),
        pytest.param(b"L" + b"\1" * (18 + 65 * 11), id="a log with too many entries"),
        pytest.param(b"Q" + b"\1" * 17, id="a quota cut short"),
        pytest.param(b"q" + b"\1" * 18, id="a quota with another mark"),
        pytest.param(b"\x00" * 100_000, id="too long"),
    ],
)
def test_garbage_is_an_empty_tally(redis_client, counter, garbage):
    for key in KEYS:
        redis_client.set(key, garbage)
    decision = check(counter, "p", [WINDOW, QUOTA], 1)
    assert [(one.allowed, one.used) for one in decision.counted] == [(True, 1), (True, 1)]


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.binary(min_size=18, max_size=18).map(lambda b: b"Q" + b),
        st.binary(min_size=18, max_size=99).map(
            lambda b: b"L" + b[: 18 + 11 * ((len(b) - 18) // 11)]
        ),
    )
)
def test_no_bytes_in_a_key_are_an_error(redis_client, counter, garbage):
    for key in KEYS:
        redis_client.set(key, garbage)
    decision = check(counter, "p", [WINDOW, QUOTA], 1)
    assert all(one.used >= 0 and one.wait >= 0 for one in decision.counted)


def test_a_server_that_is_away_is_a_store_failure():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Redis(port=port, retry=None) as client, pytest.raises(StoreFailed) as raised:
        check(RedisCounter(lambda: client), "p", [WINDOW], 1)
    assert raised.value.__cause__ is not None


def test_a_server_that_does_not_answer_is_a_store_failure():
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        Redis(port=mute.getsockname()[1], socket_timeout=0.05, retry=None) as client,
        pytest.raises(StoreFailed),
    ):
        check(RedisCounter(lambda: client), "p", [WINDOW], 1)


def test_a_server_that_talks_nonsense_is_a_store_failure():
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=answer, args=(server,))
        thread.start()
        port = server.getsockname()[1]
        with (
            Redis(port=port, socket_timeout=1, retry=None) as client,
            pytest.raises(StoreFailed),
        ):
            check(RedisCounter(lambda: client), "p", [WINDOW], 1)
        thread.join()


def test_a_cluster_that_is_away_is_a_store_failure():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(StoreFailed):
        check(RedisCounter(lambda: RedisCluster("127.0.0.1", port)), "p", [WINDOW], 1)


def test_whatever_else_a_client_raises_is_a_defect_and_passes_through():
    def connect() -> Redis:
        raise KeyError("a mistake")

    with pytest.raises(KeyError):
        check(RedisCounter(connect), "p", [WINDOW], 1)


@contextmanager
def a_server_that_replies(raw: bytes) -> Iterator[Redis]:
    """A client of a server that says ``raw`` to every command after those of the connection."""

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as commands:
            for line in commands:
                if line.startswith(b"*"):
                    words = [
                        commands.readline() and commands.readline() for _ in range(int(line[1:]))
                    ]
                    connection.sendall(raw if b"EVALSHA" in words[0] else b"+OK\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=answer, args=(server,))
        thread.start()
        try:
            with Redis(
                port=server.getsockname()[1], protocol=2, socket_timeout=5, retry=None
            ) as client:
                yield client
                client.connection_pool.disconnect()
        finally:
            thread.join()


def bulk(text: bytes) -> bytes:
    """A reply of these bytes, as Redis sends it."""
    return b"$%d\r\n%s\r\n" % (len(text), text)


REPLY = b"9 1 0 0 1 0 7"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"$-1\r\n", id="nothing"),
        pytest.param(b"+OK\r\n", id="OK"),
        pytest.param(b":1\r\n", id="a number"),
        pytest.param(b"*0\r\n", id="an empty list"),
        pytest.param(b"*5\r\n:1\r\n:1\r\n:1\r\n:0\r\n:7\r\n", id="a list of numbers"),
        pytest.param(bulk(b""), id="an empty text"),
        pytest.param(bulk(b"9 1 0 0 1 0"), id="a number short"),
        pytest.param(bulk(REPLY + b" 0"), id="a number too many"),
        pytest.param(bulk(REPLY + b" 1 0 7"), id="about two limits"),
        pytest.param(bulk(b"9 1 0 0 1 0 7.5"), id="a fraction"),
        pytest.param(bulk(b"9 1 0 0 one 0 7"), id="a word"),
        pytest.param(b"-ERR no\r\n", id="an error"),
    ],
)
def test_an_unexpected_reply_is_a_store_failure(raw):
    with a_server_that_replies(raw) as client, pytest.raises(StoreFailed):
        check(RedisCounter(lambda: client), "p", [WINDOW], 1)


def test_an_expected_reply_is_a_decision():
    with a_server_that_replies(bulk(REPLY)) as client:
        decision = check(RedisCounter(lambda: client), "p", [WINDOW], 1)
    assert decision == Decision.of(True, 9, [Counted(WINDOW, True, 1, 0, 7)])


def test_a_client_that_decodes_responses_gets_the_same_decisions(redis_url, redis_client, counter):
    told = check(counter, "p", [WINDOW, QUOTA], 1)
    with Redis.from_url(redis_url, decode_responses=True) as client:
        again = check(RedisCounter(lambda: client, "test"), "p", [WINDOW, QUOTA], 1)
    assert [one.used for one in told.counted] == [1, 1]
    assert [one.used for one in again.counted] == [2, 2]


CROWD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from redis import Redis
from apiguard.counters.base import LimitCheck
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Limit

client = Redis.from_url(sys.argv[1])
counter = RedisCounter(lambda: client, "crowd")
limit = Limit(1, "shared", "window", 100, 3600)
sys.stdin.readline()
with ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(lambda _: counter.check(LimitCheck("p", (limit,), 1)).allowed, range(200))))
"""


@pytest.mark.slow
def test_four_processes_of_sixteen_threads_share_one_limit_exactly(redis_client, redis_url):
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", CROWD, redis_url],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in crowd:
        process.stdin.write("go\n")
        process.stdin.flush()
    admitted = [int(process.communicate(timeout=60)[0]) for process in crowd]
    assert sum(admitted) == 100
