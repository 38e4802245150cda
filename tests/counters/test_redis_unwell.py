"""A real Redis that is stopped, killed, full, read-only or busy, and comes back."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Thread
from time import sleep

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from apiguard.concurrency import FAILURES, LONGEST_PAUSE, CircuitBreaker
from apiguard.counters.base import CounterUnavailable, LimitCheck, hash_principal, key_for
from apiguard.counters.breaker import ResilientCounter
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Decision, Limit
from tests.counters.checking import check
from tests.servers import Server, free_port
from tests.stores import redis_on

pytestmark = pytest.mark.slow

NAMES = count()
THREADS = 8


@dataclass
class Watched:
    """A store that counts how often it was asked."""

    store: RedisCounter
    asked: list[str] = field(default_factory=list)

    def check(self, check: LimitCheck) -> Decision:
        self.asked.append(check.principal)
        return self.store.check(check)


@dataclass
class Site:
    """One process's counter before a Redis of its own; pauses of the breaker are up to the test."""

    port: int
    running: ExitStack
    server: Server | None = None
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.client = Redis(
            port=self.port,
            socket_timeout=0.05,
            socket_connect_timeout=0.05,
            retry=Retry(NoBackoff(), 0),
        )
        self.store = Watched(RedisCounter(lambda: self.client, "unwell"))
        self.counter = ResilientCounter(
            self.store, MemoryCounter(), CircuitBreaker(clock=lambda: self.now)
        )
        self.start()

    def start(self) -> None:
        self.server = self.running.enter_context(redis_on(self.port))

    def patient(self) -> RedisCounter:
        """A counter of the same numbers that is not in a hurry, however busy this machine is."""
        client = self.running.enter_context(self.admin())
        return RedisCounter(lambda: client, "unwell")

    def admin(self) -> Redis:
        return Redis(port=self.port, socket_timeout=10)

    def recover(self) -> None:
        """Ask, as requests would, until the store answers again."""
        for _ in range(100):
            self.now += LONGEST_PAUSE
            check(self.counter, "anybody", [limit(10**6, "open")], 1)
            if not self.counter.breaker.away:
                return
            sleep(0.05)
        raise AssertionError("The store does not come back.")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        site = Site(free_port(), stack)
        yield site
        site.client.close()


@pytest.fixture(autouse=True)
def _well(site: Site) -> Iterator[None]:
    site.recover()
    site.store.asked.clear()
    yield
    site.recover()


def limit(amount: int, on_store_failure: str) -> Limit:
    return Limit(1, "limit", "window", amount, 3600, on_store_failure=on_store_failure)


def name() -> str:
    return f"client:{next(NAMES)}"


# What ails it ----------------------------------------------------------------


@contextmanager
def stopped(site: Site) -> Iterator[None]:
    site.server.process.pause()
    yield
    site.server.process.resume()


@contextmanager
def killed(site: Site) -> Iterator[None]:
    site.server.process.popen.send_signal(signal.SIGKILL)
    site.server.process.popen.wait(10)
    yield
    site.start()


@contextmanager
def read_only(site: Site) -> Iterator[None]:
    with site.admin() as admin:
        admin.replicaof("127.0.0.1", free_port())
        yield
        admin.replicaof("NO", "ONE")


@contextmanager
def out_of_memory(site: Site) -> Iterator[None]:
    with site.admin() as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        admin.config_set("maxmemory", 1)
        yield
        admin.config_set("maxmemory", 0)


@contextmanager
def busy(site: Site) -> Iterator[None]:
    with site.admin() as admin, site.admin() as other:
        admin.config_set("lua-time-limit", 1)

        def run_for_ever() -> None:
            with pytest.raises(RedisError):
                admin.eval("while true do end", 0)

        thread = Thread(target=run_for_ever)
        thread.start()
        while not is_busy(other):
            sleep(0.01)
        yield
        other.script_kill()
        thread.join(10)


def is_busy(client: Redis) -> bool:
    try:
        client.ping()
    except ResponseError:
        return True
    return False


Ailment = Callable[[Site], AbstractContextManager[None]]
AILMENTS = [stopped, killed, read_only, out_of_memory, busy]
every_ailment = pytest.mark.parametrize("ails", AILMENTS, ids=lambda one: one.__name__)


@every_ailment
def test_local_limits_are_counted_here_and_the_store_is_left_alone(site, ails):
    who = name()
    with ails(site):
        admitted = [check(site.counter, who, [limit(7, "local")], 1).allowed for _ in range(30)]
        assert sum(admitted) == 7
        assert len(site.store.asked) == FAILURES
    site.recover()
    asked = len(site.store.asked)
    check(site.counter, who, [limit(100, "local")], 1)
    assert len(site.store.asked) == asked + 1


@every_ailment
def test_open_limits_let_everything_pass(site, ails):
    who = name()
    with ails(site):
        assert all(check(site.counter, who, [limit(1, "open")], 1).allowed for _ in range(30))
        assert len(site.store.asked) == FAILURES


@every_ailment
def test_closed_limits_refuse_with_an_exception_of_their_own(site, ails):
    who = name()
    with ails(site):
        for _ in range(30):
            with pytest.raises(CounterUnavailable):
                check(site.counter, who, [limit(100, "closed")], 1)
        assert len(site.store.asked) == FAILURES


@every_ailment
def test_during_an_outage_only_single_probes_reach_the_store(site, ails):
    who = name()
    with ails(site):
        for _ in range(FAILURES):
            check(site.counter, who, [limit(1, "open")], 1)
        for probes in range(1, 5):
            site.now += LONGEST_PAUSE
            for _ in range(20):
                check(site.counter, who, [limit(1, "open")], 1)
            assert len(site.store.asked) == FAILURES + probes


@pytest.mark.parametrize("ails", [stopped, killed], ids=lambda one: one.__name__)
def test_of_many_threads_only_calls_in_flight_are_slowed(site, ails):
    who = name()
    with ails(site), ThreadPoolExecutor(THREADS) as pool:
        decisions = list(
            pool.map(lambda _: check(site.counter, who, [limit(9, "local")], 1), range(400))
        )
    assert sum(decision.allowed for decision in decisions) == 9
    # Each thread has one call in flight; two failures may be followed by a new call.
    assert len(site.store.asked) <= THREADS + FAILURES - 1


def test_what_was_counted_before_it_was_stopped_is_counted_after(site):
    who = name()
    patient = site.patient()
    for _ in range(5):
        check(patient, who, [limit(10**6, "open")], 1)
    with stopped(site):
        for _ in range(10):
            check(site.counter, who, [limit(10**6, "open")], 1)
    site.recover()
    used = check(patient, who, [limit(10**6, "local")], 1).counted[0].used
    # A call that timed out may have been counted; those after it were not sent.
    assert 6 <= used <= 6 + FAILURES


# What is no failure -----------------------------------------------------------


def flush_scripts(client: Redis, key: str) -> None:
    client.script_flush()


def plant_another_type(client: Redis, key: str) -> None:
    client.delete(key)
    client.rpush(key, "a")


def plant_garbage(client: Redis, key: str) -> None:
    client.set(key, b"\xff" * 300)


@pytest.mark.parametrize(
    "do", [flush_scripts, plant_another_type, plant_garbage], ids=lambda one: one.__name__
)
def test_what_the_script_can_mend_is_no_failure(site, do):
    who, patient = name(), site.patient()
    with site.admin() as admin:
        for _ in range(5):
            do(admin, key_for("unwell", hash_principal(who), 1))
            assert check(patient, who, [limit(100, "closed")], 1).allowed
