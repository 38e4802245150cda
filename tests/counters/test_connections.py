"""Connections that are kept between two questions: which, for how long, and how many."""

from __future__ import annotations

import gc
import os
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import BlockingConnectionPool, ConnectionPool, Redis
from redis.exceptions import ConnectionError as NoConnection

from apiguard.counters import connections as module
from apiguard.counters.connections import KEPT_SECONDS, RESTED_SECONDS, Connections
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Limit

LIMIT = Limit(1, "per-minute", "window", 100, 60)


class FakeConnection:
    def __init__(self):
        self.pid = os.getpid()
        self.connected = True
        self.waiting = False  # Something to read: true, or what is raised.

    def can_read(self, timeout):
        assert timeout == 0
        if isinstance(self.waiting, Exception):
            raise self.waiting
        return self.waiting

    def disconnect(self):
        self.connected = False


class FakePool:
    """Says what was taken and given back; ``out`` are the connections that are in use."""

    def __init__(self, max_connections=100):
        self.max_connections = max_connections
        self.idle, self.out, self.asked = deque(), set(), 0

    def get_connection(self):
        if len(self.out) >= self.max_connections:
            raise NoConnection("Too many connections")
        connection = self.idle.pop() if self.idle else FakeConnection()
        connection.connected = True
        self.asked += 1
        self.out.add(connection)
        return connection

    def release(self, connection):
        self.out.remove(connection)
        self.idle.append(connection)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def pool():
    return FakePool()


@pytest.fixture
def kept(pool, clock):
    return Connections(pool)


def used(connections):
    taken = connections.take()
    connections.keep(taken)
    return taken.connection


@pytest.mark.parametrize(
    ("idle", "asked"),
    [
        pytest.param(0.0, 1, id="at once"),
        pytest.param(86_400.0, 1, id="a day later"),
    ],
)
def test_what_has_answered_is_taken_as_it_is_if_nothing_came_since(idle, asked, kept, pool, clock):
    first = used(kept)
    clock.now += idle
    assert kept.take().connection is first
    assert pool.asked == asked
    assert pool.out == {first}


@pytest.mark.parametrize(
    "waiting",
    [
        pytest.param(True, id="an answer that nobody read"),
        pytest.param(NoConnection("closed"), id="its end"),
        pytest.param(OSError("bad file descriptor"), id="no socket"),
    ],
)
def test_over_which_something_came_while_it_rested_is_left_to_the_pool(waiting, kept, pool, clock):
    used(kept).waiting = waiting
    clock.now += RESTED_SECONDS
    kept.take()
    assert pool.asked == 2


def test_what_answered_a_moment_ago_is_not_looked_at(kept, clock):
    first = used(kept)
    for _ in range(5):
        first.waiting = OSError("looked at")
        clock.now += RESTED_SECONDS * 0.9
        assert used(kept) is first


def test_now_and_then_each_goes_back_to_the_pool(kept, pool, clock):
    for _ in range(100):
        used(kept)
        clock.now += KEPT_SECONDS / 10
    assert pool.asked == 10


def test_the_one_that_answered_last_is_taken_first(kept):
    first, second = kept.take(), kept.take()
    kept.keep(first)
    kept.keep(second)
    assert (kept.take(), kept.take()) == (second, first)


def test_nobody_gets_one_that_somebody_has(kept, pool):
    assert len({id(kept.take().connection) for _ in range(10)}) == len(pool.out) == 10


def test_a_pool_that_has_none_left_says_so(clock):
    kept = Connections(FakePool(max_connections=0))
    with pytest.raises(NoConnection):
        kept.take()


def test_what_another_process_made_is_not_taken(kept, pool):
    inherited = used(kept)
    inherited.pid = os.getpid() + 1
    pool.release = pool.out.remove  # As redis-py's, which is not given its parent's.
    assert kept.take().connection is not inherited
    assert inherited not in pool.out


@pytest.mark.slow
def test_a_connection_that_the_server_has_closed_while_it_rested_fails_nobody(
    redis_client, redis_url, monkeypatch
):
    monkeypatch.setattr(module, "RESTED_SECONDS", 0.0)
    with Redis.from_url(redis_url) as client:
        counter = RedisCounter(lambda: client, "test")
        assert counter.decide("p", [LIMIT], 1).counted[0].used == 1
        redis_client.client_kill_filter(_type="normal", skipme=True)
        assert [counter.decide("p", [LIMIT], 1).counted[0].used for _ in range(3)] == [2, 3, 4]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # The child asks, and ends.
def test_a_child_asks_over_a_connection_of_its_own(redis_client, redis_url):
    counter = RedisCounter(lambda: redis_client, "test")
    counter.decide("p", [LIMIT], 1)
    ours = counter._connections.take()
    counter._connections.keep(ours)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            uses = [counter.decide("p", [LIMIT], 1).counted[0].used for _ in range(3)]
            mine = counter._connections.take().connection
            told = (uses, mine is ours.connection, mine.pid == os.getpid())
            os.write(writer, repr(told).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as said:
        told = said.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert told == repr(([2, 3, 4], False, True))
    # What the child did has closed nothing of ours, nor left an answer in it.
    assert counter._connections.take().connection is ours.connection
    counter._connections.keep(ours)
    assert counter.decide("p", [LIMIT], 1).counted[0].used == 5


@pytest.mark.parametrize(
    ("pool", "room"),
    [
        pytest.param(ConnectionPool(), 25, id="as redis-py makes it"),
        pytest.param(ConnectionPool(max_connections=99), 0, id="smaller"),
        pytest.param(ConnectionPool(max_connections=100), 25, id="as large"),
        pytest.param(ConnectionPool(max_connections=1000), 250, id="large"),
        pytest.param(ConnectionPool(max_connections=1), 0, id="one"),
        pytest.param(BlockingConnectionPool(max_connections=1000), 0, id="others wait for it"),
    ],
)
def test_of_a_pool_at_most_a_quarter_is_kept_and_of_a_small_one_nothing(pool, room, clock):
    fake = FakePool(pool.max_connections)
    pool.get_connection, pool.release = fake.get_connection, fake.release
    kept = Connections(pool)
    assert kept.are_scarce is (room == 0)
    taken = [kept.take() for _ in range(min(pool.max_connections, 300))]
    for connection in taken:
        kept.keep(connection)
    assert len(fake.out) == room
    assert len(fake.idle) == len(taken) - room


def test_a_dropped_one_is_closed_before_it_goes_back(kept, pool):
    taken = kept.take()
    released = []
    pool.release = lambda one: released.append((one, one.connected))
    kept.drop(taken)
    assert released == [(taken.connection, False)]


def test_what_is_kept_goes_back_with_the_counter_that_kept_it(pool, clock):
    kept = Connections(pool)
    taken = [kept.take() for _ in range(5)]
    for connection in taken:
        kept.keep(connection)
    del kept
    gc.collect()
    assert pool.out == set()
    assert sorted(map(id, pool.idle)) == sorted(id(one.connection) for one in taken)


def test_a_counter_that_gets_another_client_keeps_nothing_of_the_first(redis_url):
    with Redis.from_url(redis_url) as first, Redis.from_url(redis_url) as second:
        clients = [first]
        counter = RedisCounter(lambda: clients[-1], "test")
        counter.decide("p", [LIMIT], 1)
        gone = weakref.ref(counter._connections)
        clients.append(second)
        assert counter.decide("p", [LIMIT], 1).counted[0].used == 2
        gc.collect()
        assert gone() is None
        assert not first.connection_pool._in_use_connections
        assert len(first.connection_pool._available_connections) == 1


def test_many_threads_share_a_few_and_take_none_from_each_other(redis_url):
    limit = Limit(1, "many", "window", 10**6, 60)
    with Redis.from_url(redis_url) as client, ThreadPoolExecutor(16) as threads:
        counter = RedisCounter(lambda: client, "test")
        used = threads.map(
            lambda n: counter.decide(f"p{n % 2}", [limit], 1).counted[0].used, range(400)
        )
        assert sorted(used) == sorted([*range(1, 201)] * 2)
        assert len(client.connection_pool._in_use_connections) <= 16


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "keep", "drop", "wait"]), st.integers(0, 9)), max_size=60
)


@settings(max_examples=100)
@given(steps=STEPS)
def test_however_they_are_used_all_are_somewhere_and_no_more_than_a_quarter_is_kept(steps):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock, pool, held = Clock(), FakePool(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", clock)
        kept = Connections(pool)
        for step, number in steps:
            if step == "take":
                taken = kept.take()
                assert taken not in held
                assert taken.connection.connected
                held.append(taken)
            elif step == "wait":
                clock.now += number / 5
            elif held:
                getattr(kept, step)(held.pop(number % len(held)))
            assert {taken.connection for taken in held} <= pool.out
            assert len(pool.out) - len(held) <= pool.max_connections // 4
