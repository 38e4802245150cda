"""One process of ``benchmarks.refusals``: floods, writes as an application, or measures.

    python -m benchmarks.refusals_worker find REQUESTS ADDRESSES CLIENTS
    python -m benchmarks.refusals_worker flood SECONDS ADDRESSES
    python -m benchmarks.refusals_worker application SECONDS
    python -m benchmarks.refusals_worker cost ROUNDS

Settings come from the environment. Requests go through the middleware in this process,
and the thread of the buffer writes as in any worker. Prints one JSON object.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from statistics import median, quantiles
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import Sum  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import RequestFactory, override_settings  # noqa: E402

from apiguard.middleware import ApiGuardMiddleware  # noqa: E402
from apiguard.models import ApiKey, Client, HourlyCount, Refusal, Route  # noqa: E402
from apiguard.policy.holder import holder  # noqa: E402
from apiguard.telemetry.buffer import buffer  # noqa: E402
from apiguard.testing import make_key, snapshot_of  # noqa: E402
from project.orders.models import Order  # noqa: E402

REQUESTS = 300
FIRST_ADDRESS = int(IPv4Address("198.18.0.0"))
PAUSE = 0.005
FLUSHED_AFTER = 2.5


@contextmanager
def guard(clients: int = 0) -> Iterator[tuple[Callable[..., Any], list[str]]]:
    """A function that sends a request, and the keys of so many clients without scopes."""
    route = Route(
        name="api", path_prefix="/api/", access="credentials", required_scopes=["orders:read"]
    )
    keys: list[tuple[ApiKey, str]] = []
    for number in range(clients):
        client = Client(slug=f"client-{number}", name=f"Client {number}")
        keys.append(make_key(client, "key"))
    rows = [row for key, _text in keys for row in (key, key.client)]
    logging.getLogger("apiguard.refusals").setLevel(logging.WARNING)
    middleware = ApiGuardMiddleware(lambda request: HttpResponse())
    factory = RequestFactory(SERVER_NAME="localhost")

    def send(number: int = 0, **headers: str) -> Any:
        address = str(IPv4Address(FIRST_ADDRESS + number))
        return middleware(factory.get("/api/orders", REMOTE_ADDR=address, headers=headers))

    with holder.override(snapshot_of(route, *rows)):
        yield send, [text for _key, text in keys]


def find(requests: int, addresses: int, clients: int) -> dict[str, Any]:
    """Flood, send one request of each client in between, and look for those."""
    begun = time.perf_counter()
    with guard(clients) as (send, keys):
        every = requests // clients
        for number in range(requests):
            send(number % addresses)
            if number % every == every // 2:
                client = number // every
                headers = {"X-API-Key": keys[client], "X-Request-ID": f"client-{client}"}
                send(0, **headers)
    seconds = time.perf_counter() - begun
    buffer.finish(10)
    ids = [f"client-{client}" for client in range(clients)]
    return {
        "addresses": addresses,
        "refused": requests + clients,
        "seconds": seconds,
        "rows": Refusal.objects.count(),
        "unkept": _total("unkept"),
        "found": Refusal.objects.filter(request_id__in=ids).count(),
        "bytes": _bytes_of_table(),
    }


def flood(seconds: float, addresses: int) -> dict[str, Any]:
    """Send refused requests as fast as this process can."""
    refused, end = 0, time.monotonic() + seconds
    with guard() as (send, _keys):
        while time.monotonic() < end:
            send(refused % addresses)
            refused += 1
    # The others are to be done too when the rows are counted.
    time.sleep(FLUSHED_AFTER)
    return {
        "refused": refused,
        "lost": buffer.dropped + buffer.refusals.dropped,
        "rows": Refusal.objects.count(),
        "counted": _total("count"),
    }


def application(seconds: float) -> dict[str, Any]:
    """Commit rows of the project's own; milliseconds of a write."""
    taken, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.perf_counter()
        Order.objects.create(owner="benchmark", item="book")
        taken.append((time.perf_counter() - begun) * 1000)
        time.sleep(PAUSE)
    percentiles = quantiles(taken, n=100)
    return {"writes": len(taken), "median": median(taken), "p99": percentiles[98]}


def cost(rounds: int) -> dict[str, float]:
    """Return median microseconds of an admitted and a refused request, kept and not kept."""
    given = settings.APIGUARD
    modes = {"on": given, "off": {**given, "REFUSALS_KEEP_ROWS": 0}}
    taken: dict[str, list[float]] = {}
    with guard() as (send, _keys):
        for _ in range(rounds):
            for mode, members in modes.items():
                with override_settings(APIGUARD=members):
                    _measure(taken.setdefault(f"refused {mode}", []), send)
    route = Route(name="api", path_prefix="/api/", access="public")
    with guard() as (send, _keys), holder.override(snapshot_of(route)):
        for _ in range(rounds):
            for mode, members in modes.items():
                with override_settings(APIGUARD=members):
                    _measure(taken.setdefault(f"admitted {mode}", []), send)
    return {name: median(seconds) * 1e6 for name, seconds in taken.items()}


def _measure(taken: list[float], send: Callable[..., Any]) -> None:
    begun = time.perf_counter()
    for number in range(REQUESTS):
        send(number)
    taken.append((time.perf_counter() - begun) / REQUESTS)


def _total(column: str) -> int:
    return int(HourlyCount.objects.aggregate(total=Sum(column))["total"] or 0)


def _bytes_of_table() -> int:
    """Return the bytes of the rows and their indexes; 0 where the database cannot tell."""
    if connection.vendor != "sqlite":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'apiguard_refusal%'")
        return int(cursor.fetchone()[0] or 0)


ROLES: dict[str, tuple[Callable[..., Any], tuple[type, ...]]] = {
    "find": (find, (int, int, int)),
    "flood": (flood, (float, int)),
    "application": (application, (float,)),
    "cost": (cost, (int,)),
}

if __name__ == "__main__":
    role, kinds = ROLES[sys.argv[1]]
    given = [kind(text) for kind, text in zip(kinds, sys.argv[2:], strict=True)]
    sys.stdout.write(json.dumps(role(*given)))
