"""``apiguard check`` asks the counter's store, and tells what was noted about it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis
from django.test import override_settings
from django.utils import timezone

from apiguard.counters.connection import connector
from apiguard.management.commands import _counter
from apiguard.models import CounterFault, CounterOutage, UntrustedProxy
from tests.counters.test_acl import documented_user
from tests.servers import free_port
from tests.stores import redis_cluster, redis_server

FAST = {"SOCKET_TIMEOUT": 5, "SOCKET_CONNECT_TIMEOUT": 5}


@pytest.fixture
def counted_at():
    """Let the counter's cache be at a URL."""
    changed = []

    def use(url, backend="django_redis.cache.RedisCache"):
        cache = {"BACKEND": backend, "LOCATION": url, "OPTIONS": FAST}
        local = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
        settings = override_settings(CACHES={"default": local, "apiguard": cache}, APIGUARD={})
        settings.enable()
        changed.append(settings)

    yield use
    for settings in changed:
        settings.disable()


@pytest.fixture
def policy_of(redis_url):
    """Set the ``maxmemory-policy`` of the Redis of the tests for one test."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        before = client.config_get("maxmemory-policy")["maxmemory-policy"]
        yield lambda name: client.config_set("maxmemory-policy", name)
        client.config_set("maxmemory-policy", before)


def test_a_store_that_answers_and_keeps_counts_is_in_order(run, counted_at, redis_url, policy_of):
    policy_of("noeviction")
    counted_at(redis_url)
    said = run("check")
    assert said.status == 0
    assert "Counter: apiguard, answers; maxmemory-policy: noeviction." in said.out.splitlines()
    counter = run("check", "--json").json["counter"]
    assert (counter["where"], counter["answers"], counter["evicts"]) == ("apiguard", True, False)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_store_that_evicts_is_a_problem(run, counted_at, redis_url, policy_of, policy):
    policy_of(policy)
    counted_at(redis_url)
    said = run("check", "--json")
    assert said.status == 1
    assert (said.json["counter"]["maxmemory_policy"], said.json["counter"]["evicts"]) == (
        policy,
        True,
    )
    assert f"maxmemory-policy is {policy}, not noeviction" in said.err


def test_a_store_that_does_not_answer_is_a_problem(run, counted_at):
    counted_at(f"redis://127.0.0.1:{free_port()}/0")
    said = run("check", "--json")
    assert said.status == 1
    assert (said.json["counter"]["answers"], said.json["counter"]["evicts"]) == (False, None)
    assert "does not answer" in said.err
    assert "Counter: apiguard, does not answer." in run("check").out.splitlines()


def test_a_cache_that_is_no_redis_does_not_answer(run, counted_at):
    counted_at("", backend="django.core.cache.backends.locmem.LocMemCache")
    assert run("check").status == 1


@pytest.fixture
def user_of(redis_url):
    """Make a user of the Redis of the tests, and give its URL."""
    with redis.Redis.from_url(redis_url) as client:

        def make(rules):
            client.execute_command("ACL SETUSER", "guard", "reset", "on", ">secret", *rules.split())
            return redis_url.replace("redis://", "redis://guard:secret@")

        yield make
        client.execute_command("ACL DELUSER", "guard")


def acl_of_the_docs():
    """The rules of the documented user, without its name, state and password."""
    return " ".join(documented_user()[5:])


def test_what_the_documented_user_may_not_do_is_no_problem(run, counted_at, user_of):
    """Neither PING nor CONFIG."""
    counted_at(user_of(acl_of_the_docs()))
    outcome = run("check", "--json")
    counter = outcome.json["counter"]
    assert (counter["answers"], counter["counts"], counter["evicts"]) == (True, True, None)
    assert outcome.status == 0


@pytest.mark.parametrize("missing", ["evalsha", "eval", "time", "mget", "set"])
def test_a_user_that_lacks_a_command_is_a_problem(run, counted_at, user_of, redis_url, missing):
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()  # Else eval is not needed.
    counted_at(user_of(f"{acl_of_the_docs()} -{missing}"))
    outcome = run("check", "--json")
    assert outcome.status == 1
    assert (outcome.json["counter"]["answers"], outcome.json["counter"]["counts"]) == (True, False)
    assert "refuses to count" in outcome.err


@contextmanager
def read_only(client):
    client.replicaof("127.0.0.1", free_port())
    yield
    client.replicaof("NO", "ONE")


@contextmanager
def full(client):
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    yield
    client.config_set("maxmemory", 0)


@pytest.mark.parametrize("ails", [read_only, full])
def test_a_server_that_answers_ping_and_cannot_count_is_a_problem(run, counted_at, ails):
    with redis_server() as server, redis.Redis(port=server.port) as client, ails(client):
        assert client.ping()
        counted_at(server.base_url)
        outcome = run("check", "--json")
        assert "Counter: apiguard, refuses to count." in run("check").out.splitlines()
    counter = outcome.json["counter"]
    assert outcome.status == 1
    assert (counter["answers"], counter["counts"]) == (True, False)
    assert "refuses to count" in outcome.err


def test_the_probe_leaves_a_key_that_expires_and_no_other(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}
        with override_settings(CACHES={"probed": cache}):
            assert _counter.store("probed", "shop").counts
        (key,) = client.keys()
        assert key.startswith(b"shop:{")
        assert 0 < client.pttl(key) <= 7_000


@pytest.mark.slow
def test_every_primary_of_a_cluster_is_probed_and_no_password_is_shown():
    with redis_cluster() as servers:
        url = f"redis+cluster://:secret@127.0.0.1:{servers[0].port}"
        for server in servers:
            with redis.Redis(port=server.port) as node:
                node.config_set("requirepass", "secret")
                node.config_set("masterauth", "secret")
        store = _counter.store(url)
        assert store.where == f"redis+cluster://127.0.0.1:{servers[0].port}"
        assert (store.counts, store.policies, store.evicts) == (True, ("noeviction",), False)
        with redis.Redis(port=servers[2].port, password="secret") as node:
            node.config_set("maxmemory-policy", "allkeys-lru")
            store = _counter.store(url)
            assert (store.policies, store.evicts) == (("allkeys-lru", "noeviction"), True)
            node.config_set("maxmemory-policy", "noeviction")
            node.config_set("maxmemory", 1)
            assert _counter.store(url).counts is False
        connector(url, _counter.CLUSTER_TIMEOUT_SECONDS)().close()


def test_a_cluster_that_is_not_there_does_not_answer():
    store = _counter.store(f"redis+cluster://127.0.0.1:{free_port()}")
    assert store.answers is False
    assert store.problems != []


def test_outages_are_reported_open_or_ended_and_change_no_exit_status(run):
    now = timezone.now()
    CounterOutage.objects.note("web-1:42", True, now - timedelta(minutes=1))
    CounterOutage.objects.note("web-2:43", True, now - timedelta(hours=2))
    CounterOutage.objects.note("web-2:43", False, now - timedelta(hours=1))
    said = run("check")
    assert said.status == 0
    assert any(line.endswith(" in web-1:42.") and "Away" in line for line in said.out.splitlines())
    assert any("Was away" in line and "web-2:43" in line for line in said.out.splitlines())
    told = run("check", "--json").json["counter"]["outages"]
    assert [(row["process"], row["open"], row["ended_at"] is None) for row in told] == [
        ("web-1:42", True, True),
        ("web-2:43", False, False),
    ]


def test_faults_are_reported_under_their_names_and_change_no_exit_status(run):
    now = timezone.now()
    CounterFault.objects.add("defect", "KeyError in cluster.py:812", 3, now)
    CounterFault.objects.add("pool", "connection pool exhausted", 1200, now)
    CounterFault.objects.add("defect", "ValueError in old.py:1", 1, now - timedelta(days=2))
    outcome = run("check")
    assert outcome.status == 0
    assert "Defect: KeyError in cluster.py:812. 3 requests" in outcome.out
    assert "1,200 requests were not counted there" in outcome.out
    faults = run("check", "--json").json["counter"]["faults"]
    assert [(fault["kind"], fault["count"]) for fault in faults] == [("defect", 3), ("pool", 1200)]


def test_proxies_that_are_not_trusted_are_reported_with_what_to_do(run):
    UntrustedProxy.objects.seen("10.0.0.1", timezone.now())
    UntrustedProxy.objects.seen("10.0.0.2", timezone.now() - timedelta(days=2))
    said = run("check")
    assert said.status == 0
    assert "Proxy 10.0.0.1: its forwarding headers are not believed" in said.out
    assert "TRUSTED_PROXIES" in said.out
    assert [row["address"] for row in run("check", "--json").json["proxies"]] == ["10.0.0.1"]
