"""Redis goes away while requests are served, and comes back."""

from __future__ import annotations

import time

import pytest
import redis

from tests.server.calls import new_address
from tests.server.conftest import prepared, serving
from tests.servers import spawn, wait_until
from tests.stores import redis_binary, redis_server

pytestmark = pytest.mark.slow

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
        return client.dbsize()


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
        assert keys_in(store.port) > 0
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
