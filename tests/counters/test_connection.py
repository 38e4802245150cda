"""One place knows what the setting COUNTER means."""

from __future__ import annotations

import pytest
import redis
from django.test import override_settings
from redis.cluster import RedisCluster

from apiguard.counters import connection
from tests.servers import free_port

SECRET = "redis+cluster://:secret@redis-1:7000"


@pytest.mark.parametrize(
    ("name", "is_so"),
    [
        pytest.param(SECRET, True, id="a cluster's URL"),
        pytest.param("apiguard", False, id="an alias"),
        pytest.param("memory", False, id="memory"),
    ],
)
def test_a_cluster_is_distinguished_from_an_alias(name, is_so):
    assert connection.is_cluster(name) is is_so


def test_a_cluster_is_shown_without_its_password():
    assert connection.cluster_host(SECRET) == "redis-1:7000"


def test_an_alias_gives_the_client_of_its_cache(redis_url):
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}
    with override_settings(CACHES={"counting": cache}):
        client = connection.connector("counting")()
        assert isinstance(client, redis.Redis)
        assert client.ping() is True


def test_an_alias_is_looked_for_once_until_the_caches_change(redis_url):
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_url}
    connector = connection.connector("counting")
    with override_settings(CACHES={"counting": cache}):
        first = connector()
        assert connector() is first
    with override_settings(CACHES={"counting": {**cache, "LOCATION": f"{redis_url}?other=1"}}):
        assert connector() is not first


def test_a_cluster_is_connected_once_per_process(monkeypatch):
    given = []

    def from_url(url, **options):
        given.append((url, options))
        return object()

    monkeypatch.setattr(RedisCluster, "from_url", from_url)
    name = f"redis+cluster://127.0.0.1:{free_port()}"
    first = connection.connector(name)()
    assert connection.connector(name)() is first
    ((url, options),) = given
    assert url == name.replace("redis+cluster", "redis")
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 0.05
    assert options["retry"]._retries == 0


def test_a_cluster_that_could_not_be_reached_is_tried_again(monkeypatch):
    name = f"redis+cluster://127.0.0.1:{free_port()}"
    connector = connection.connector(name)
    with pytest.raises(redis.exceptions.RedisClusterException):
        connector()
    found = object()
    monkeypatch.setattr(RedisCluster, "from_url", lambda url, **options: found)
    assert connector() is found
