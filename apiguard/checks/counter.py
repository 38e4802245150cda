"""Checks of the Redis cache in which limits are counted."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from django_redis.cache import RedisCache
from redis.connection import parse_url

from .. import conf

LONGEST_TIMEOUT = 0.5
"""Seconds that a request may wait for a Redis that hangs, until the circuit breaker opens."""

TIMEOUTS = ("SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT")


def check_counter(**_: Any) -> list[checks.CheckMessage]:
    """W004 a shared pool, W005 timeouts, W007 a database, W008 not django-redis, W017 too few."""
    name = counter_alias()
    if name is None:
        return []
    alias = django_settings.CACHES[name]
    if not _is_django_redis(alias):
        return [
            checks.Warning(
                f"Limits are counted in the cache {name!r}, which is not one of django-redis: "
                "there is no Redis to count in.",
                hint=f"CACHES[{name!r}]['BACKEND'] = 'django_redis.cache.RedisCache'",
                id="apiguard.W008",
            )
        ]
    return [
        *_shared_pool(name, alias),
        *_timeouts(name, alias),
        *_shared_database(name, alias),
        *_connections(name, alias),
    ]


def counter_alias() -> str | None:
    try:
        name = conf.current().counter
    except ImproperlyConfigured:
        return None  # E001 reports it.
    return None if name == "memory" or "://" in name else name


def _is_django_redis(alias: Mapping[str, Any]) -> bool:
    try:
        backend = import_string(str(alias.get("BACKEND")))
    except ImportError:
        return False
    return isinstance(backend, type) and issubclass(backend, RedisCache)


def _shared_pool(name: str, alias: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    for other, cache in _other_caches(name):
        if _is_django_redis(cache) and set(_urls(alias)) & set(_urls(cache)):
            yield checks.Warning(
                f"The caches {name!r} and {other!r} have the same URL. django-redis keeps one "
                "pool of connections per URL, whatever the options say: the timeouts of "
                "whichever is used first hold for both.",
                hint=f"Give {name!r} a database number of its own in LOCATION.",
                id="apiguard.W004",
            )


def _timeouts(name: str, alias: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    given = _connection(alias, next(iter(_urls(alias)), ""))
    wrong = [
        option
        for option in TIMEOUTS
        if not isinstance(seconds := given.get(option.lower()), int | float)
        or not 0 < seconds <= LONGEST_TIMEOUT
    ]
    if wrong:
        yield checks.Warning(
            f"The cache {name!r} has no {' and no '.join(wrong)} of {LONGEST_TIMEOUT} s or "
            "less: requests wait for a Redis that hangs.",
            hint=f'CACHES[{name!r}]["OPTIONS"] = '
            '{"SOCKET_TIMEOUT": 0.05, "SOCKET_CONNECT_TIMEOUT": 0.05}',
            id="apiguard.W005",
        )


def _connections(name: str, alias: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    given: Any = _connection(alias, next(iter(_urls(alias)), "")).get("max_connections")
    try:
        most = int(given)
    except (TypeError, ValueError):
        return  # redis-py's own bound, which is 100 or more.
    threads = worker_threads()
    if most < threads:
        yield checks.Warning(
            f"The cache {name!r} has at most {most} connections for up to {threads} threads of a "
            "worker: requests wait for a connection, and are then decided without Redis.",
            hint=f'CACHES[{name!r}]["OPTIONS"]["CONNECTION_POOL_KWARGS"] = '
            f'{{"max_connections": {threads}}}',
            id="apiguard.W017",
        )


def worker_threads() -> int:
    """Return how many threads of a worker may count at once.

    ``GUNICORN_CMD_ARGS`` has the number where it is set; else a worker is taken to have as
    many as a ``ThreadPoolExecutor`` has by default.
    """
    words = os.environ.get("GUNICORN_CMD_ARGS", "").replace("=", " ").split()
    for option, value in itertools.pairwise(words):
        if option == "--threads" and value.isascii() and value.isdigit():
            return int(value)
    return min(32, (os.cpu_count() or 1) + 4)


def _shared_database(name: str, alias: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    mine = _databases(alias)
    others = [other for other, cache in _other_caches(name) if mine & _databases(cache)]
    if name == "default":
        others.insert(0, name)  # What every app of the project writes to, and may clear.
    for other in others:
        yield checks.Warning(
            f"Limits are counted in the same Redis database that the cache {other!r} uses: "
            "clearing that cache forgets what was counted.",
            hint="Give the counter an alias and a database number of its own, "
            "such as redis://127.0.0.1:6379/1.",
            id="apiguard.W007",
        )


def _other_caches(name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from ((other, cache) for other, cache in django_settings.CACHES.items() if other != name)


def _urls(cache: Mapping[str, Any]) -> list[str]:
    """The servers of a cache, in the order in which they are given."""
    location = cache.get("LOCATION") or ""
    given = location.split(",") if isinstance(location, str) else location
    return [str(url).strip() for url in given if str(url).strip()]


def _connection(cache: Mapping[str, Any], url: str) -> dict[str, Any]:
    """How the client connects; a later source wins, as in redis-py."""
    options = cache.get("OPTIONS") or {}
    given = {name.lower(): options.get(name) for name in TIMEOUTS}
    given |= {"db": options.get("db"), **(options.get("CONNECTION_POOL_KWARGS") or {})}
    try:
        return given | dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:
        return given


def _databases(cache: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Host or socket, port and number of every Redis database of a cache."""
    found = set()
    for url in _urls(cache):
        if url.startswith(("redis://", "rediss://", "unix://")):
            given = _connection(cache, url)
            host = given.get("path") or _host(given.get("host") or "localhost")
            found.add((host, str(given.get("port") or 6379), str(given.get("db") or 0)))
    return found


def _host(name: str) -> str:
    name = name.lower().rstrip(".")
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return "localhost" if address.is_loopback else str(address)
