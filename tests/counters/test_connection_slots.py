"""A pool with fewer connections than threads: every thread has its turn, and Redis is not away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.test import override_settings
from redis import BlockingConnectionPool, ConnectionPool, Redis
from redis import exceptions as redis_errors

from apiguard.concurrency import CircuitBreaker
from apiguard.counters.base import LimitCheck, PoolExhausted
from apiguard.counters.breaker import FaultLog, ResilientCounter
from apiguard.counters.connection import ConnectionSlots, SlotTimeout, connector, is_exhausted
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Limit
from tests.counters.checking import check

LIMIT = Limit(1, "limit", "window", 100, 3600)
OPEN = Limit(2, "open", "window", 100, 3600, on_store_failure="open")
THREADS = 8
# However busy this machine is, a turn comes.
PATIENT = 30.0


@contextmanager
def pool_of(url: str, pool_class: type[ConnectionPool], **options) -> Iterator[Redis]:
    pool = pool_class.from_url(url, **options)
    with Redis(connection_pool=pool) as client:
        yield client
    pool.disconnect()


POOLS = pytest.mark.parametrize(
    ("pool_class", "options"),
    [
        pytest.param(ConnectionPool, {}, id="a pool that raises at once"),
        pytest.param(BlockingConnectionPool, {"timeout": 0.01}, id="a pool that waits"),
    ],
)


@POOLS
@pytest.mark.parametrize("max_connections", [1, 2])
def test_more_threads_than_connections_count_exactly(
    redis_client, redis_url, pool_class, options, max_connections, caplog
):
    with pool_of(redis_url, pool_class, max_connections=max_connections, **options) as client:
        store = RedisCounter(lambda: client, "pool", wait=PATIENT)
        counter = ResilientCounter(store, MemoryCounter(), CircuitBreaker())
        with ThreadPoolExecutor(THREADS) as threads:
            decisions = list(threads.map(lambda _: check(counter, "p", [LIMIT], 1), range(400)))
    assert sum(decision.allowed for decision in decisions) == 100
    assert not counter.breaker.away
    assert not caplog.records


@POOLS
def test_a_pool_that_stays_exhausted_is_no_outage(
    redis_client, redis_url, pool_class, options, caplog
):
    faults = []
    with pool_of(redis_url, pool_class, max_connections=1, **options) as client:
        store = RedisCounter(lambda: client, "pool", wait=0.02)
        counter = ResilientCounter(
            store, MemoryCounter(), CircuitBreaker(), FaultLog(faults.append)
        )
        others = client.connection_pool.get_connection()
        with pytest.raises(PoolExhausted):
            check(store, "p", [LIMIT], 1)
        for _ in range(5):
            assert check(counter, "p", [LIMIT], 60).counted[0].used == 60
            assert check(counter, "p", [OPEN], 1).counted == ()
            counter_memory_is_fresh(counter)
        assert not counter.breaker.away
        client.connection_pool.release(others)
        assert check(counter, "q", [LIMIT], 7).counted[0].used == 7
    assert {fault.kind for fault in faults} == {"pool"}
    assert redis_client.keys("pool:*") != []
    assert "pool is exhausted" in caplog.text
    assert "does not answer" not in caplog.text


def counter_memory_is_fresh(counter: ResilientCounter) -> None:
    counter._local.clear()


def test_a_pool_that_waits_itself_is_not_waited_for_again(redis_url, monkeypatch):
    with pool_of(redis_url, BlockingConnectionPool, max_connections=1, timeout=0.01) as client:
        waits, get = [], BlockingConnectionPool.get_connection

        def counted(self, *args, **options):
            waits.append(1)
            return get(self, *args, **options)

        others = client.connection_pool.get_connection()
        monkeypatch.setattr(BlockingConnectionPool, "get_connection", counted)
        with pytest.raises(PoolExhausted):
            check(RedisCounter(lambda: client, "pool", wait=PATIENT), "p", [LIMIT], 1)
        client.connection_pool.release(others)
    assert len(waits) == 1


def test_a_connection_that_others_hold_for_a_moment_is_waited_for(redis_client, redis_url):
    with pool_of(redis_url, ConnectionPool, max_connections=1) as client:
        counter = RedisCounter(lambda: client, "pool", wait=PATIENT)
        others = client.connection_pool.get_connection()
        threading.Timer(0.05, client.connection_pool.release, [others]).start()
        assert check(counter, "p", [LIMIT], 3).counted[0].used == 3


def test_an_alias_with_two_connections_serves_eight_threads(redis_client, redis_url):
    cache = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"{redis_url}?client_name=two-connections",
        "OPTIONS": {"CONNECTION_POOL_KWARGS": {"max_connections": 2}},
    }
    with override_settings(CACHES={"counting": cache}):
        counter = RedisCounter(connector("counting"), "pool", wait=PATIENT)
        with ThreadPoolExecutor(THREADS) as threads:
            admitted = threads.map(
                lambda _: counter.check(LimitCheck("p", (LIMIT,), 1)).allowed, range(300)
            )
            assert sum(admitted) == 100
        connector("counting")().connection_pool.disconnect()


@pytest.mark.parametrize(
    ("error", "exhausted"),
    [
        pytest.param(redis_errors.MaxConnectionsError(), True, id="of redis-py 6.3 or later"),
        pytest.param(redis_errors.ConnectionError("Too many connections"), True, id="before"),
        pytest.param(redis_errors.ConnectionError("Connection refused"), False, id="away"),
        pytest.param(
            redis_errors.ConnectionError("max number of clients reached"), False, id="a full server"
        ),
        pytest.param(redis_errors.TimeoutError("Timeout"), False, id="a timeout"),
    ],
)
def test_an_exhausted_pool_is_distinguished_from_a_server_that_is_away(error, exhausted):
    assert is_exhausted(error) is exhausted


# -- slots --------------------------------------------------------------------------


def test_a_slot_goes_to_the_thread_that_waits_longest():
    slots, order = ConnectionSlots(1), []

    def take(number: int) -> None:
        with slots.hold(PATIENT):
            order.append(number)

    threads = []
    with slots.hold(0):
        for number in range(5):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while len(slots._queue) <= number:
                pass
    for thread in threads:
        thread.join(PATIENT)
    assert order == [0, 1, 2, 3, 4]


def test_waiting_for_a_slot_ends_at_the_timeout_and_an_error_frees_it():
    slots = ConnectionSlots(1)
    with slots.hold(0), pytest.raises(SlotTimeout), slots.hold(0.001):
        raise AssertionError
    with pytest.raises(ZeroDivisionError), slots.hold(0):
        raise ZeroDivisionError
    with slots.hold(0):
        assert not slots._queue


@pytest.mark.parametrize("is_handed_over", [False, True])
def test_a_slot_is_not_lost_when_the_wait_for_it_is_interrupted(monkeypatch, is_handed_over):
    class Interrupted(BaseException):
        """Such as gevent.Timeout."""

    class Turn:
        def acquire(self, timeout: float | None = None) -> bool:
            if timeout is None:
                return True
            if is_handed_over:
                slots._release()
            raise Interrupted

        def release(self) -> None:
            pass

    slots = ConnectionSlots(1)
    with slots.hold(0):
        monkeypatch.setattr("apiguard.counters.connection.threading.Lock", Turn)
        with pytest.raises(Interrupted), slots.hold(1):
            raise AssertionError
    # Where the slot was handed over, the block above gave it back a second time.
    assert (slots._free, len(slots._queue)) == (1 + is_handed_over, 0)
