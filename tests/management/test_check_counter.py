"""``apiguard check`` asks the counter's store, and tells what was noted about it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from django.test import override_settings
from django.utils import timezone

from apiguard.management.commands import _counter
from apiguard.models import CounterOutage, UntrustedProxy
from tests.servers import free_port

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
    told = run("check", "--json").json["counter"]
    assert (told["where"], told["answers"], told["evicts"]) == ("apiguard", True, False)


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


class _Silent:
    """A managed server, which answers, and refuses CONFIG."""

    def ping(self):
        return True

    def config_get(self, name):
        raise redis.ResponseError("unknown command 'CONFIG'")


def test_a_server_that_does_not_tell_its_settings_is_in_order(monkeypatch):
    monkeypatch.setattr(_counter, "connector", lambda *given: _Silent)
    store = _counter.store("apiguard")
    assert (store.answers, store.evicts, store.problems) == (True, None, [])


class _Cluster:
    """Three nodes, one of which evicts; as redis-py tells it, node by node."""

    def __init__(self):
        self.asked = []

    def ping(self, target_nodes):
        self.asked.append(target_nodes)

    def config_get(self, name, target_nodes):
        self.asked.append(target_nodes)
        policies = {"a:1": b"noeviction", "b:1": "noeviction", "c:1": "allkeys-lru"}
        return {node: {name: policy} for node, policy in policies.items()}


def test_every_node_of_a_cluster_is_asked_and_no_password_is_shown(monkeypatch):
    cluster = _Cluster()
    monkeypatch.setattr(_counter, "connector", lambda *given: lambda: cluster)
    store = _counter.store("redis+cluster://:secret@127.0.0.1:7000")
    assert store.where == "redis+cluster://127.0.0.1:7000"
    assert (store.answers, store.policies) == (True, ("allkeys-lru", "noeviction"))
    assert store.evicts
    assert cluster.asked == ["primaries", "primaries"]


def test_a_cluster_that_is_not_there_does_not_answer():
    store = _counter.store(f"redis+cluster://127.0.0.1:{free_port()}")
    assert store.answers is False
    assert store.problems != []


def test_outages_are_told_open_or_ended_and_change_no_exit_status(run):
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


def test_proxies_that_are_not_trusted_are_told_with_what_to_do(run):
    UntrustedProxy.objects.seen("10.0.0.1", timezone.now())
    UntrustedProxy.objects.seen("10.0.0.2", timezone.now() - timedelta(days=2))
    said = run("check")
    assert said.status == 0
    assert "Proxy 10.0.0.1: its forwarding headers are not believed" in said.out
    assert "TRUSTED_PROXIES" in said.out
    assert [row["address"] for row in run("check", "--json").json["proxies"]] == ["10.0.0.1"]
