"""The cases side by side: round trips, time in the process, requests per second of gunicorn."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import redis

from benchmarks.figures import Measured
from benchmarks.round_trips import Commands
from benchmarks.site.cases import ORIGIN, Case
from benchmarks.stage import Actor, Stage, acting, run
from benchmarks.tables import progress
from tests.servers import gunicorn

# The look at the revision, once a second, is no part of a request.
COUNTS = 7
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Bouts:
    """How much is done: rounds in which every case has its turn, and requests per turn."""

    rounds: int
    requests: int
    served_rounds: int
    served_requests: int
    connections: int = 4


FULL = Bouts(rounds=150, requests=40, served_rounds=50, served_requests=400)
QUICK = Bouts(rounds=10, requests=20, served_rounds=2, served_requests=100)


def compare(stage: Stage, cases: Sequence[Case], bouts: Bouts) -> dict[str, Measured]:
    """Every case, measured in turns with all the others."""
    environments = {case.name: stage.environment(case) for case in cases}
    arguments = {case.name: stage.arguments(case) for case in cases}
    with acting(environments, arguments) as actors:
        counts = count(stage, actors)
        took = in_process(stage, actors, bouts)
    rates = served(stage, cases, bouts)
    return {
        case.name: Measured(*counts[case.name], took[case.name], rates[case.name]) for case in cases
    }


def count(stage: Stage, actors: Mapping[str, Actor]) -> dict[str, tuple[int, int]]:
    """SQL queries and Redis commands of a warm request."""
    counted = {}
    with redis.Redis.from_url(stage.redis_url) as client, client.monitor() as monitor:
        commands = Commands(client, monitor)
        for name, actor in actors.items():
            progress(f"counting: {name}")
            actor.ask("time", requests=5)
            pairs = []
            for _ in range(COUNTS):
                commands.until_now()
                queries = actor.ask("count")
                pairs.append((queries, len(commands.until_now())))
            counted[name] = (
                statistics.median_low(sql for sql, _ in pairs),
                statistics.median_low(told for _, told in pairs),
            )
    return counted


def in_process(stage: Stage, actors: Mapping[str, Actor], bouts: Bouts) -> dict[str, float]:
    """Median microseconds of a request."""
    took: dict[str, list[int]] = {name: [] for name in actors}
    for number in range(bouts.rounds):
        if number % 25 == 0:
            progress(f"in process: round {number + 1} of {bouts.rounds}")
        for name in shuffled(actors):
            stage.empty()
            took[name] += actors[name].ask("time", requests=bouts.requests)
    return {name: statistics.median(values) / 1000 for name, values in took.items()}


def served(stage: Stage, cases: Sequence[Case], bouts: Bouts) -> dict[str, float]:
    """Median requests per second of gunicorn with two sync workers."""
    rates: dict[str, list[float]] = {case.name: [] for case in cases}
    with ExitStack() as stack:
        asks = {}
        progress("gunicorn: starting one server per case")
        for case in cases:
            server = stack.enter_context(gunicorn_of(stage, case))
            asks[case.name] = load_task(stage, case, server.port, bouts)
        for number in range(-1, bouts.served_rounds):
            if number % 5 == 0:
                progress(f"gunicorn: round {number + 1} of {bouts.served_rounds}")
            for name in shuffled(asks):
                stage.empty()
                rate = run({}, "benchmarks.load", json.dumps(asks[name]))
                if number >= 0:  # The first is for imports and caches.
                    rates[name].append(rate)
    return {name: statistics.median(values) for name, values in rates.items()}


def gunicorn_of(stage: Stage, case: Case) -> Any:
    """The case under gunicorn, as a context manager that gives a server."""
    env = stage.environment(case)
    return gunicorn(env, workers=WORKERS, application="benchmarks.site.wsgi:application")


def load_task(stage: Stage, case: Case, port: int, bouts: Bouts) -> dict[str, Any]:
    """What the load generator is told."""
    return {
        "do": "hammer",
        "port": port,
        "requests": bouts.served_requests,
        "connections": bouts.connections,
        "path": case.path,
        "headers": {"Origin": ORIGIN, "Accept": "application/json", **stage.headers(case)},
    }


def shuffled(names: Mapping[str, Any]) -> list[str]:
    """In another order every time, so that none always follows the same other."""
    return random.sample(list(names), len(names))
