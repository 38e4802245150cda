"""What the environment says, as the values that settings want.

Kept apart from ``settings.py`` so that each rule can be tested without
loading settings twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

APIGUARD_PREFIX = "APIGUARD_"


def required(name: str, values: Mapping[str, str]) -> str:
    """The value of ``name``.

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
    """Members of the ``APIGUARD`` dict: ``APIGUARD_REALM=shop`` is ``{"REALM": "shop"}``.

    A value that is JSON is read as JSON (numbers, ``true``, ``null``, lists,
    dicts, quoted strings); anything else is the string that it is.
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


def database(config: dict[str, Any]) -> dict[str, Any]:
    """A ``DATABASES`` entry that survives several processes.

    SQLite gets a write-ahead log and takes its write lock when a transaction
    begins: one that starts by reading and then writes fails at once with
    "database is locked", whatever the timeout.
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
    """``CACHES``: the site's own in memory; counters in Redis, if there is one.

    The timeouts are short because every request waits for them while Redis is
    away. Nothing else may live in that database number.
    """
    local = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    if not redis_url:
        return local
    counters = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": redis_url,
        "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 0.05, "SOCKET_TIMEOUT": 0.05},
    }
    return {**local, "apiguard": counters}
