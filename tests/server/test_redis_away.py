"""Redis goes away while requests are served, and comes back."""

from __future__ import annotations

import time

import pytest
import redis

from tests.server.calls import new_address
from tests.server.conftest import prepared, serving
from tests.servers import manage, spawn, wait_until
from tests.stores import redis_binary, redis_server

pytestmark = pytest.mark.slow

# Workers leave word of themselves there too, in a key without a limit.
COUNTS = "apiguard:{*}:*"

KINDS = pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])


@pytest.fixture
def store():
    with redis_server() as server:
        yield server


@pytest.fixture
def demo(demo_template, store, tmp_path):
    # The site's own short timeouts: here it is to give up quickly.
    return prepared(demo_template, tmp_path).with_env(REDIS_URL=f"{store.base_url}/0")


def statuses(site, count=30):
    return {
        site.get(path, headers, address=new_address()).status
        for _ in range(count)
        for path, headers in (("/health", {}), ("/api/users/me", site.acme))
    }


def keys_in(port):
    with redis.Redis(port=port, socket_timeout=5) as client:
        return len(client.keys(COUNTS))


def answers(port):
    try:
        with redis.Redis(port=port, socket_timeout=5) as client:
            return client.ping()
    except redis.RedisError:
        return False


def counts_again(site, port):
    """Whether requests reach the store; a probe may be due only ten seconds from now."""
    for _ in range(300):
        assert site.get("/health").status == 200
        if keys_in(port):
            return True
        time.sleep(0.1)
    return False


@KINDS
def test_killed_it_is_missed_by_nobody_and_found_again(demo, store, kind, tmp_path):
    with serving(kind, demo) as site:
        assert statuses(site) == {200}
        assert counts_again(site, store.port)
        store.process.kill()
        assert statuses(site) == {200}
        options = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        again = spawn([redis_binary(), "--port", str(store.port), *options], folder=tmp_path)
        try:
            wait_until(lambda: answers(store.port), again)
            assert counts_again(site, store.port)
        finally:
            again.stop()


@KINDS
def test_hanging_it_is_missed_by_nobody_and_found_again(demo, store, kind):
    with serving(kind, demo) as site:
        assert statuses(site) == {200}
        store.process.pause()
        assert statuses(site) == {200}
        store.process.resume()
        with redis.Redis(port=store.port, socket_timeout=5) as client:
            client.flushdb()
        assert counts_again(site, store.port)


@KINDS
def test_never_started_it_is_missed_by_nobody(demo, store, kind):
    store.process.kill()
    with serving(kind, demo) as site:
        assert statuses(site) == {200}


CLOSED = """
from apiguard.models import Limit
Limit.objects.filter(tier__slug="standard").update(on_store_failure="closed")
"""


@KINDS
def test_a_closed_limit_refuses_while_it_hangs_and_admits_when_it_answers(demo, store, kind):
    assert manage("shell", "--no-imports", "-c", CLOSED, env=demo.env).returncode == 0
    with serving(kind, demo) as site:
        assert all_in_time(lambda: site.get("/api/users/me", site.acme).status == 200)
        store.process.pause()
        away = [site.get("/api/users/me", site.acme) for _ in range(20)]
        # Others, whose limits say "local", notice nothing.
        assert statuses_of(site, "/health") == {200}
        store.process.resume()
        assert {answer.status for answer in away} == {503}
        assert {answer.headers["Retry-After"] for answer in away} == {"1"}
        assert counts_again(site, store.port)
        assert all_in_time(lambda: site.get("/api/users/me", site.acme).status == 200)


@KINDS
def test_what_is_no_log_in_its_keys_costs_nobody_a_request(demo, store, kind):
    with serving(kind, demo) as site:
        assert all_in_time(
            lambda: site.get("/api/users/me", site.acme).status == 200 and keys_in(store.port)
        )
        with redis.Redis(port=store.port, socket_timeout=5) as client:
            keys = client.keys(COUNTS)
            assert keys
            client.set(keys[0], b"\xff\x00garbage")
            for key in keys[1:]:
                client.delete(key)
                client.lpush(key, "a list")
            client.script_flush()
        assert site.get("/api/users/me", site.acme).status == 200


@KINDS
def test_full_or_read_only_it_is_missed_by_nobody(demo, store, kind):
    with serving(kind, demo) as site, redis.Redis(port=store.port, socket_timeout=5) as client:
        assert statuses(site, 5) == {200}
        client.config_set("maxmemory", 1)
        assert statuses(site, 10) == {200}
        client.config_set("maxmemory", 0)
        client.replicaof("127.0.0.1", "1")
        assert statuses(site, 10) == {200}
        client.replicaof("no", "one")
        client.flushdb()
        assert counts_again(site, store.port)


def statuses_of(site, path):
    return {site.get(path, address=new_address()).status for _ in range(10)}


def all_in_time(is_so):
    """Whether it becomes so within the breaker's longest pause, and some."""
    for _ in range(150):
        if is_so():
            return True
        time.sleep(0.1)
    return False
