"""Limits are counted over every way in which django-redis reaches Redis: sockets and TLS."""

from __future__ import annotations

import ssl

import pytest
from django.test import override_settings

from apiguard.counters.base import LimitCheck, StoreFailed
from apiguard.counters.connection import connector
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Limit
from tests.key_server import make_certificates
from tests.stores import redis_server, relay

LIMITS = (Limit(1, "window", "window", 3, 60),)


def admitted(location: str, **options: object) -> list[bool]:
    """What four requests of one caller get, of whom three are to be admitted."""
    cache = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": location,
        "OPTIONS": {"SOCKET_TIMEOUT": 5, "SOCKET_CONNECT_TIMEOUT": 5, **options},
    }
    with override_settings(CACHES={"reached": cache}):
        counter = RedisCounter(connector("reached"), "urls")
        return [counter.check(LimitCheck("p", LIMITS, 1)).allowed for _ in range(4)]


def test_a_unix_socket(tmp_path):
    path = tmp_path / "redis.sock"
    with redis_server("--unixsocket", str(path), "--unixsocketperm", "700"):
        assert admitted(f"unix://{path}?db=1") == [True, True, True, False]


@pytest.fixture
def over_tls(tmp_path):
    """The URL of a Redis over TLS, and the file of the authority that vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_certificates(tmp_path, ["localhost"]))
    with redis_server() as server, relay(server.port, context=context) as port:
        yield f"rediss://localhost:{port}/1", str(tmp_path / "ca.pem")


def test_tls(over_tls):
    url, authority = over_tls
    pool = {"CONNECTION_POOL_KWARGS": {"ssl_ca_certs": authority}}
    assert admitted(url, **pool) == [True, True, True, False]


def test_a_server_that_nobody_vouches_for_counts_nothing(over_tls):
    url, _authority = over_tls
    with pytest.raises(StoreFailed):
        admitted(url)
