"""What a request costs in round trips: SQL queries and Redis commands, cold and warm.

    python -m benchmarks.count_io

Sets the demonstration up in a temporary SQLite file and a Redis of its own,
sends requests through Django's test client, and prints a table. Queries are
counted on every connection of this thread, Redis commands by MONITOR (those
that a script runs inside the server are no round trips and are left out).

"new process": nothing is held yet. "new credential": the policy is held, the
credential was not seen. "warm": neither is new. Besides these, a process looks
at the revision once per ``POLICY_MAX_AGE``, with one query; here that is never.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from benchmarks.round_trips import Commands, counted_queries
from benchmarks.tables import say
from tests.stores import redis_server

STATES = ("new process", "new credential", "warm")
# What the guard promises of a request whose policy and credential it holds.
WARM_AT_MOST = (0, 1)


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of request."""

    name: str
    path: str
    headers: Mapping[str, str]
    status: int


# What the tier of the client "hobby" admits in a minute.
HOBBY_AMOUNT = 100


def set_up(folder: str, redis_url: str) -> Any:
    """The demonstration, as the reference site serves it."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "SECRETS_FILE": os.devnull,
        "SECRET_KEY": "benchmark-secret-key-" * 3,
        "JWT_SECRET": "benchmark-jwt-secret-" * 3,
        "DATABASE_URL": f"sqlite:///{folder}/site.sqlite3",
        "REDIS_URL": redis_url,
        "ALLOWED_HOSTS": "testserver",
        "APIGUARD_POLICY_MAX_AGE": "86400",
        "APIGUARD_POLICY_MAX_STALENESS": "86400",
    }
    import django
    from django.conf import settings

    # A busy machine is not an outage, in which requests are counted elsewhere.
    settings.CACHES["apiguard"]["OPTIONS"] |= {"SOCKET_CONNECT_TIMEOUT": 10, "SOCKET_TIMEOUT": 10}
    django.setup()
    # Refusals are what is asked for here.
    logging.disable(logging.ERROR)
    from project.demonstration import set_up

    return set_up("http://testserver")


def calls(demonstration: Any) -> list[Call]:
    """The kinds of requests to count."""
    from apiguard.rules.keys import generate

    key = {"X-API-Key": demonstration.api_keys["acme"]}
    hobby = {"X-API-Key": demonstration.api_keys["hobby"]}
    bearer = {"Authorization": f"Bearer {demonstration.jwt}"}
    return [
        Call("API key", "/api/plain", key, 200),
        Call("token", "/api/plain", bearer, 200),
        Call("API key, DRF view", "/api/users/me", key, 200),
        Call("no credential, public", "/health", {}, 200),
        Call("no credential, refused", "/api/plain", {}, 401),
        Call("garbage for a key", "/api/plain", {"X-API-Key": "garbage"}, 401),
        Call("denied by a limit", "/api/users/me", hobby, 429),
        Call("unknown key", "/api/plain", {"X-API-Key": generate("ag", "live").text}, 401),
    ]


def make_new(state: str) -> None:
    """Forget what a process in this state does not hold."""
    from django_redis import get_redis_connection

    from apiguard.policy.holder import holder

    if state == "warm":
        return
    holder.forget()
    if state == "new process":
        get_redis_connection("apiguard").connection_pool.disconnect()
    else:
        holder.snapshot()


def count(client: Any, call: Call, commands: Commands) -> tuple[int, list[str]]:
    """Send one request; its queries and its Redis commands."""
    commands.until_now()
    with counted_queries() as queries:
        response = client.get(call.path, headers=call.headers)
    if response.status_code != call.status:
        raise SystemExit(f"{call.name}: {response.status_code}, expected {call.status}")
    return len(queries), commands.until_now()


def measure(demonstration: Any, commands: Commands) -> bool:
    """Print the table; whether every warm request keeps the promise."""
    from django.test import Client

    client, kept = Client(), True
    # Imports, URL patterns and the like belong to nobody's request.
    client.get("/health")
    for _ in range(HOBBY_AMOUNT):
        client.get("/api/users/me", headers={"X-API-Key": demonstration.api_keys["hobby"]})
    say(f"{'':24}" + "".join(f"{state:>24}" for state in STATES))
    say(f"{'':24}" + f"{'SQL':>14}{'Redis':>10}" * len(STATES))
    for call in calls(demonstration):
        line = f"{call.name:24}"
        for state in STATES:
            make_new(state)
            queries, told = count(client, call, commands)
            line += f"{queries:>14}{len(told):>10}"
            if state == "warm":
                kept &= queries <= WARM_AT_MOST[0] and len(told) <= WARM_AT_MOST[1]
        say(f"{line}   {' '.join(told)}".rstrip())
    return kept


def main() -> int:
    """Exit status 1 if a warm request took more than was promised."""
    with tempfile.TemporaryDirectory() as folder, redis_server() as server:
        url = f"{server.base_url}/0"
        demonstration = set_up(folder, url)
        with redis.Redis.from_url(url) as client, client.monitor() as monitor:
            kept = measure(demonstration, Commands(client, monitor))
    if not kept:
        say("A warm request takes no query and at most one Redis command; one here took more.")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
