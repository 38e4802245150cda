"""Counting in a Redis Cluster: three masters, a replica of each; of another, a master dies."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from time import sleep

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from apiguard.concurrency import LONGEST_PAUSE, CircuitBreaker
from apiguard.counters.base import (
    CounterUnavailable,
    PoolExhausted,
    StoreFailed,
    hash_principal,
    key_for,
)
from apiguard.counters.breaker import ResilientCounter
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Limit
from tests.counters.checking import check
from tests.servers import Server
from tests.stores import redis_cluster

pytestmark = pytest.mark.slow

LIMITS = (
    Limit(1, "per-minute", "window", 101, 60),
    Limit(2, "per-hour", "window", 102, 3600),
    Limit(3, "per-day", "quota", 1000, 0, "day"),
    Limit(4, "tried-out", "window", 50, 60, shadow=True),
)


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    with redis_cluster() as servers:
        yield servers


@pytest.fixture
def doomed() -> Iterator[list[Server]]:
    """A cluster of one test's own, which may do with it what it likes."""
    with redis_cluster() as servers:
        yield servers


@pytest.fixture(scope="module")
def cluster(servers) -> Iterator[RedisCluster]:
    with connected(servers, 5) as client:
        yield client


def connected(servers: list[Server], seconds: float) -> RedisCluster:
    return RedisCluster(
        "127.0.0.1",
        servers[0].port,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
    )


def slot(client: RedisCluster, principal: str) -> int:
    return client.keyslot(key_for("cluster", hash_principal(principal), 1))


def test_all_limits_of_a_principal_are_on_one_slot(cluster):
    for number in range(50):
        principal_hash = hash_principal(f"client:{number}")
        slots = {cluster.keyslot(key_for("cluster", principal_hash, pk)) for pk in range(100)}
        assert len(slots) == 1


def test_every_node_decides_for_its_principals(cluster):
    counter, nodes = RedisCounter(lambda: cluster, "cluster"), Tally[str]()
    for number in range(60):
        principal = f"client:{number}"
        nodes[cluster.get_node_from_key(key_for("cluster", hash_principal(principal), 1)).name] += 1
        used = [check(counter, principal, LIMITS, 2).counted[0].used for _ in range(3)]
        assert used == [2, 4, 6]
    assert len(nodes) == 3


def test_what_one_limit_refuses_the_others_do_not_count(cluster):
    counter = RedisCounter(lambda: cluster, "cluster")
    limits = (replace(LIMITS[0], amount=3), *LIMITS[1:])
    decisions = [check(counter, "all-or-nothing", limits, 1) for _ in range(6)]
    assert [decision.allowed for decision in decisions] == [True] * 3 + [False] * 3
    assert [one.used for one in decisions[-1].counted] == [3, 3, 3, 3]


def test_nodes_that_forgot_the_script_are_taught_it(cluster):
    counter = RedisCounter(lambda: cluster, "cluster")
    check(counter, "taught", LIMITS, 1)
    cluster.execute_command("SCRIPT FLUSH", target_nodes=RedisCluster.PRIMARIES)
    assert check(counter, "taught", LIMITS, 1).counted[0].used == 2


def test_many_threads_and_clients_share_one_limit_exactly(servers):
    with connected(servers, 5) as one, connected(servers, 5) as another:
        counters = [RedisCounter(lambda: one, "cluster"), RedisCounter(lambda: another, "cluster")]
        limit = Limit(1, "shared", "window", 100, 3600)
        with ThreadPoolExecutor(16) as pool:
            admitted = pool.map(
                lambda turn: check(counters[turn % 2], "crowd", [limit], 1).allowed, range(600)
            )
            assert sum(admitted) == 100


def test_whatever_becomes_of_the_nodes_is_a_store_failure_and_no_defect(doomed):
    """What a client of redis-py raises depends on its version, and on which thread is first."""
    raised, stop = Tally[type](), Event()

    def check_on(counter: RedisCounter, number: int) -> None:
        while not stop.is_set():
            try:
                check(counter, f"client:{number}", LIMITS, 1)
            except Exception as error:  # noqa: BLE001 - which ones there are is the question
                raised[type(error)] += 1

    with connected(doomed[1:], 0.05) as client, ThreadPoolExecutor(12) as pool:
        counter = RedisCounter(lambda: client, "doomed")
        for number in range(12):
            pool.submit(check_on, counter, number)
        doomed[0].process.kill()
        sleep(2)
        doomed[1].process.pause()
        sleep(1)
        doomed[1].process.resume()
        for server in doomed[2:]:
            server.process.kill()
        sleep(1)
        stop.set()
    assert raised[StoreFailed]
    assert set(raised) <= {StoreFailed, PoolExhausted}


def test_a_master_that_dies_fails_until_its_replica_has_taken_over(doomed):
    closed = Limit(1, "closed", "window", 1000, 3600, on_store_failure="closed")
    local = replace(closed, pk=2, on_store_failure="local")
    now = [1000.0]
    with connected(doomed, 1) as client:
        counter = ResilientCounter(
            RedisCounter(lambda: client, "cluster"),
            MemoryCounter(),
            CircuitBreaker(clock=lambda: now[0]),
        )
        who = next(name for n in range(99) if slot(client, name := f"who:{n}") < 5461)
        for _ in range(5):
            check(counter, who, [closed, local], 1)
        with Redis(port=doomed[0].port) as master:
            # What its replica has confirmed is copied, and all that came before.
            master.set(f"{{{hash_principal(who)}}}", "mark")
            assert master.wait(1, 10_000) == 1

        doomed[0].process.kill()
        with pytest.raises(CounterUnavailable):
            check(counter, who, [closed], 1)
        assert check(counter, who, [local], 1).counted[0].used == 1

        for _ in range(150):
            now[0] += LONGEST_PAUSE
            answered = check(counter, who, [local], 1).counted[0].used > 5
            if answered and not counter.breaker.away:
                break
            counter = ResilientCounter(
                RedisCounter(lambda: client, "cluster"), MemoryCounter(), counter.breaker
            )
            sleep(0.2)
        assert check(counter, who, [closed], 1).counted[0].used == 6
