"""How soon every worker refuses a blocked network, and what the look-up costs a request.

    python -m benchmarks.blocking [--changes 40] [--workers 4] [--rounds 15] [--json FILE]

The first part brings a PostgreSQL of its own and serves the demonstration with
gunicorn, as ``benchmarks.propagation`` does: one network is blocked and unblocked
in turn while a stream of requests keeps all workers busy. The delay of a worker is
the time from the commit until its first answer by the new policy has arrived.

The second part runs requests of an address that is not blocked through the
middleware in this process, with no row, one, and 10,000 rows of one or of all
usual lengths of prefix, in turns; a figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.propagation import (
    MAX_AGE,
    PAUSE,
    RELOAD,
    THREADS,
    Watch,
    django_on,
    measure,
    summary,
)
from benchmarks.tables import Table, progress, say
from tests.server.load import Call, many_workers, stream
from tests.server.outage import site_on_postgres

if TYPE_CHECKING:
    from benchmarks.propagation import Result
    from benchmarks.propagation_changes import Change

BLOCKED, FREE, MANY = "192.0.2.7", "198.51.100.7", 10_000
REQUESTS = 300


def blocks_in_turn(call: Call) -> Iterator[Change]:
    """Block the caller's network, and unblock it, over and over."""
    from apiguard.models import BlockedNetwork
    from benchmarks.propagation_changes import Change

    for _ in count():
        row = BlockedNetwork(network=BLOCKED, reason="benchmark")
        yield Change("block", call, row.save, lambda answer: answer.status == 403)
        yield Change("unblock", call, row.delete, lambda answer: answer.status != 403)


def propagate(changes: int, workers: int) -> dict[str, Any]:
    """Block and unblock so often; the figures of all workers."""
    results: list[Result] = []
    watch = Watch(workers)
    with ExitStack() as stack:
        demo, _ = stack.enter_context(site_on_postgres())
        stack.enter_context(django_on(demo))
        # So that the caller is another address than that of this process.
        env = {**demo.env, "APIGUARD_TRUSTED_PROXIES": '["127.0.0.1"]'}
        server = stack.enter_context(many_workers(env, workers=workers))
        call = Call("/health", {"X-Forwarded-For": BLOCKED})
        stack.enter_context(stream(server, lambda: watch.call, THREADS, PAUSE, watch.note))
        for number, change in enumerate(islice(blocks_in_turn(call), changes), 1):
            results.append(measure(watch, change))
            if number % 10 == 0:
                progress(f"{number} of {changes} changes")
    return summary(results, watch, RELOAD)


# -- what a request pays ----------------------------------------------------------


def _rows(number: int, lengths: Sequence[int]) -> list[Any]:
    from apiguard.models import BlockedNetwork

    rng, networks = random.Random(7), set()  # noqa: S311 - no secret
    while len(networks) < number:
        length = rng.choice(lengths)
        networks.add((0x0B000000 + (rng.getrandbits(24) >> (32 - length) << (32 - length)), length))
    texts = (".".join(str(n >> s & 255) for s in (24, 16, 8, 0)) + f"/{m}" for n, m in networks)
    return [BlockedNetwork(network=text, reason="benchmark") for text in texts]


def cost(rounds: int) -> dict[str, float]:
    """Median microseconds of one request through the middleware, by what is blocked."""
    from django.http import HttpResponse
    from django.test import RequestFactory

    from apiguard.middleware import ApiGuardMiddleware
    from apiguard.models import Route
    from apiguard.policy.holder import holder
    from apiguard.testing import snapshot_of

    route = Route(name="api", path_prefix="/api/", access="public")
    kinds = {
        "no row": [],
        "1 row": _rows(1, [24]),
        f"{MANY:,} rows, one length": _rows(MANY, [32]),
        f"{MANY:,} rows, lengths 16 to 32": _rows(MANY, range(16, 33)),
    }
    snapshots = {kind: snapshot_of(route, *rows) for kind, rows in kinds.items()}
    guard = ApiGuardMiddleware(lambda request: HttpResponse())
    factory = RequestFactory(REMOTE_ADDR=FREE, SERVER_NAME="localhost")
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, snapshot in snapshots.items():
            requests = [factory.get("/api/plain") for _ in range(REQUESTS)]
            with holder.override(snapshot):
                begun = time.perf_counter()
                for request in requests:
                    guard(request)
                seconds[kind].append((time.perf_counter() - begun) / REQUESTS)
    return {kind: round(median(taken) * 1e6, 1) for kind, taken in seconds.items()}


def main(arguments: Sequence[str]) -> int:
    """Run both; 1 if a worker took longer than two seconds and a reload."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    figures = propagate(given.changes, given.workers)
    costs = cost(given.rounds)
    note = f"{given.changes} times blocked or unblocked, {given.workers} workers, seconds"
    names = ("min", "median", "p95", "max")
    say(Table("Until it is in force", note, names, [list(figures["all"].values())]).text())
    rows = [[kind, taken, round(taken - costs["no row"], 1)] for kind, taken in costs.items()]
    note = "a request that passes, microseconds in the middleware"
    say(Table("What it costs", note, ("blocked", "request", "of it"), rows).text())
    if given.json:
        given.json.write_text(json.dumps({**figures, "cost": costs}, indent=2))
    late = figures["all"]["max"] > 2 * MAX_AGE + RELOAD
    if late:
        say("NOT KEPT: in force in every worker within two seconds and a reload")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
