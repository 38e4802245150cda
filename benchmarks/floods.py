"""What a flood of one caller's requests does to another, well-behaved caller.

In the process, flood and good requests take turns in one thread: on a machine
of two cores any flood that runs beside takes CPU by itself, and what is to be
seen here is what apiguard holds for the good client while it is flooded: its
key, its place in bounded tables, locks. Without the flood the same number of
requests of other good clients comes in between; and one of them comes right
before every request that is timed, so that the processor's caches, which any
other code would fill as well, are not what is compared.

Through gunicorn the flood is paced, far below what the server can do, and
compared with silence; as many requests of other good clients are a row of
their own.
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address
from itertools import cycle, islice
from typing import Any

from benchmarks.calls import App, environ, timed
from benchmarks.figures import Flooded
from benchmarks.round_trips import counted_queries
from benchmarks.site.cases import GUARD_ALONE, PROXIED, THING
from benchmarks.stage import Stage, run
from benchmarks.tables import progress

Credentials = Mapping[str, Mapping[str, str]]
GOOD, GREEDY, CALM = "apiguard-key", "greedy", "calm"
# Between two requests of the good client.
BETWEEN, BOUT = 3, 10
# Through gunicorn: of the good client, and of the others; a tenth of what it can do.
PER_SECOND = (41.0, 150.0)


Kind = Callable[[Credentials], Iterator[dict[str, str]]]


def denied(credentials: Credentials) -> Iterator[dict[str, str]]:
    """One client far over its limit."""
    return cycle([dict(credentials[GREEDY])])


def unknown(credentials: Credentials) -> Iterator[dict[str, str]]:
    """Well-formed keys that nobody was given, every one another."""
    from apiguard.rules.keys import generate

    while True:
        yield {"X-API-Key": generate("ag", "live").text}


def malformed(credentials: Credentials) -> Iterator[dict[str, str]]:
    """Keys with a wrong checksum, every one another."""
    for good in unknown(credentials):
        yield {"X-API-Key": good["X-API-Key"][:-6] + "000000"}


def silence(credentials: Credentials) -> Iterator[dict[str, str]]:
    """Nobody else."""
    return iter(())


def calm(credentials: Credentials) -> Iterator[dict[str, str]]:
    """Other good clients."""
    return cycle([dict(headers) for name, headers in credentials.items() if name.startswith(CALM)])


FLOODS: dict[str, Kind] = {
    "one client over its limit": denied,
    "unknown keys": unknown,
    "malformed keys": malformed,
}
STATUS: dict[Kind, int] = {denied: 429, unknown: 401, malformed: 401, calm: 200}


# -- in the process ---------------------------------------------------------------


def measure(app: App, credentials: Credentials, first: int, rounds: int) -> dict[str, Any]:
    """Flood -> microseconds of a good request without and with it, and its queries after it.

    Args:
        first: how many come before anything is measured, so that tables are full.
    """
    asked = environ(GUARD_ALONE.path, credentials[GOOD])
    between = {kind: _sent(kind, credentials) for kind in STATUS}
    for _ in range(12):
        timed(app, next(between[calm])[0])
    timed(app, asked)
    _until_denied(app, between[denied])
    measured: dict[str, Any] = {}
    for name, kind in FLOODS.items():
        progress(f"flood: {name}")
        for _ in range(first):
            request, status = next(between[kind])
            timed(app, request, status)
        queries = _queries(app, asked)
        took = _turns(app, asked, {"alone": between[calm], "under": between[kind]}, rounds)
        measured[name] = {**took, "queries": queries}
    return measured


def _sent(kind: Kind, credentials: Credentials) -> Iterator[tuple[dict[str, Any], int]]:
    """Requests of a kind with their status; strangers' come from a new address every time."""
    for headers in kind(credentials):
        meta = {"REMOTE_ADDR": _stranger()} if STATUS[kind] == 401 else {}
        yield environ(GUARD_ALONE.path, headers, **meta), STATUS[kind]


def _stranger() -> str:
    return str(IPv4Address(0x0A000000 + random.getrandbits(24)))


def _until_denied(app: App, requests: Iterator[tuple[dict[str, Any], int]]) -> None:
    from benchmarks.site.rows import GREEDY_AMOUNT

    for _ in range(GREEDY_AMOUNT):
        timed(app, next(requests)[0])


def _queries(app: App, asked: dict[str, Any]) -> int:
    """SQL queries of the next good request; the look at the revision is nobody's."""
    from apiguard.policy.holder import holder

    holder.snapshot()
    with counted_queries() as queries:
        timed(app, asked)
    return len(queries)


def _turns(
    app: App,
    asked: dict[str, Any],
    between: Mapping[str, Iterator[tuple[dict[str, Any], int]]],
    rounds: int,
) -> dict[str, float]:
    took: dict[str, list[int]] = {name: [] for name in between}
    for _ in range(rounds):
        for name in random.sample(list(between), len(between)):
            for _ in range(BOUT):
                for _ in range(BETWEEN):
                    timed(app, *next(between[name]))
                timed(app, *next(between["alone"]))
                took[name].append(timed(app, asked))
    return {name: statistics.median(values) / 1000 for name, values in took.items()}


# -- through gunicorn -------------------------------------------------------------


def served(stage: Stage, seconds: float, rounds: int) -> dict[str, Flooded]:
    """What a flood through gunicorn does."""
    from benchmarks.compare import gunicorn_of

    floods = {**FLOODS, "as many of other good clients": calm}
    kinds: dict[str, Kind] = {"": silence, **floods}
    took: dict[str, list[float]] = {name: [] for name in kinds}
    with gunicorn_of(stage, PROXIED) as server:
        for number in range(-1, rounds):
            progress(f"flood of gunicorn: round {number + 1} of {rounds}")
            for name in random.sample(list(kinds), len(kinds)):
                task = _task(stage, kinds[name], server.port, seconds)
                times = run({}, "benchmarks.load", json.dumps(task))
                if number >= 0:  # The first is for imports and caches.
                    took[name] += times
    medians = {name: statistics.median(values) for name, values in took.items()}
    return {name: Flooded(medians[""] * 1000, medians[name] * 1000) for name in floods}


def _task(stage: Stage, kind: Kind, port: int, seconds: float) -> dict[str, Any]:
    others = [
        {"headers": {**headers, "X-Forwarded-For": _stranger()}, "path": THING}
        for headers in islice(kind(stage.credentials), 200)
    ]
    return {
        "do": "flooded",
        "port": port,
        "seconds": seconds,
        "per_second": PER_SECOND,
        "good": {"path": THING, "headers": stage.credentials[GOOD]},
        "others": others,
        "statuses": [STATUS.get(kind, 200), *([200] if kind is denied else [])],
    }
