"""The Redis user of docs/deployment.md may do all that apiguard does, and so does a Unix socket."""

from __future__ import annotations

import re

import pytest
import redis
from django.test import override_settings

from apiguard import conf
from apiguard.management.commands import _counter
from apiguard.telemetry.worker_registry import registry_for
from tests.fresh_project import CHECKOUT
from tests.request.fresh import _fresh_process  # noqa: F401 - a fixture
from tests.request.site import Call, Caller, guarded, route, tier
from tests.stores import redis_server


def documented_user():
    """The command that makes the user, as the page shows it."""
    page = (CHECKOUT / "docs" / "deployment.md").read_text()
    (line,) = re.findall(r"^ACL SETUSER guard .+$", page, re.M)
    return line.split()


def counting_in(url):
    alias = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "OPTIONS": {"SOCKET_TIMEOUT": 5, "SOCKET_CONNECT_TIMEOUT": 5},
    }
    locmem = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    return override_settings(CACHES={"default": locmem, "apiguard": alias})


def check_everything_works():
    rows = tier("tiny", 2)
    caller = Caller(tier=rows[0])
    call = Call(headers={"X-API-Key": caller.text})
    with guarded(route(access="credentials"), *rows, *caller.rows, COUNTER="apiguard"):
        assert [call.wsgi().status_code for _ in range(3)] == [200, 200, 429]
        registry = registry_for(conf.current())
        registry.write("a process", "a report")
        assert [entry.text for entry in registry.read()] == ["a report"]
        registry.remove("a process")
        assert registry.read() == []
        assert _counter.store("apiguard").counts


@pytest.fixture
def server(tmp_path):
    socket = tmp_path / "redis.sock"
    with redis_server("--unixsocket", str(socket)) as running:
        yield running.port, socket


@pytest.mark.slow
def test_the_documented_user_is_enough(server):
    port, _ = server
    with redis.Redis(port=port) as client:
        client.execute_command(*documented_user())
    with counting_in(f"redis://guard:password@127.0.0.1:{port}/1"):
        check_everything_works()


@pytest.mark.slow
def test_a_unix_socket_is_enough(server):
    _, socket = server
    with counting_in(f"unix://{socket}?db=1"):
        check_everything_works()
