"""Read settings from environment variables.

These functions are not in ``settings.py``, so that tests can call them without
loading the settings again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

APIGUARD_PREFIX = "APIGUARD_"


def required(name: str, values: Mapping[str, str]) -> str:
    """Return the value of ``name``.

    Raises:
        ImproperlyConfigured: it is missing or empty.
    """
    value = values.get(name)
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set. Set it in the environment to a long random string, "
            "or run scripts/demo once, which writes one to .env.demo."
        )
    return value


def single_settings(values: Mapping[str, str]) -> dict[str, Any]:
    """Return members of the ``APIGUARD`` dict: ``APIGUARD_REALM=shop`` gives ``{"REALM": "shop"}``.

    A value that is JSON is parsed (numbers, ``true``, ``null``, lists, dicts,
    quoted strings); any other value stays a string.
    """
    return {
        name.removeprefix(APIGUARD_PREFIX): _value(text)
        for name, text in values.items()
        if name.startswith(APIGUARD_PREFIX)
    }


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def proxy_ssl_header(text: str) -> tuple[str, str] | None:
    """Return ``SECURE_PROXY_SSL_HEADER`` from ``NAME=value``; None where it is empty.

    Raises:
        ImproperlyConfigured: the text has no ``=``.
    """
    if not text:
        return None
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise ImproperlyConfigured(
            "SECURE_PROXY_SSL_HEADER is not NAME=value, such as HTTP_X_FORWARDED_PROTO=https."
        )
    return name, value


def database(config: dict[str, Any]) -> dict[str, Any]:
    """Return a ``DATABASES`` entry that works with several processes.

    SQLite gets a write-ahead log and takes its write lock when a transaction
    begins. Otherwise a transaction that reads first and then writes fails at
    once with "database is locked", whatever the timeout.
    """
    if not config["ENGINE"].endswith("sqlite3"):
        return config
    options = {
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    }
    return {**config, "OPTIONS": {**options, **config.get("OPTIONS", {})}}


def caches(redis_url: str | None) -> dict[str, Any]:
    """Return ``CACHES``: ``default`` in memory, and ``apiguard`` in Redis if there is a URL.

    The timeouts are short because requests wait that long while Redis is away.
    Nothing else may use that database number.
    """
    local = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "KEY_FUNCTION": "apiguard.caching.make_key",
        }
    }
    if not redis_url:
        return local
    counters = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": redis_url,
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 0.05, "SOCKET_TIMEOUT": 0.05},
    }
    return {**local, "apiguard": counters}
