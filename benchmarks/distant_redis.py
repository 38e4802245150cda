"""What a guarded request adds where Redis is 1 ms away, beside the peers.

    python -m benchmarks.distant_redis [--quick]

Between the workers and Redis stands a relay that holds back every reply for a
millisecond, as another machine in the same data centre does. The cases of
``scripts/bench`` take turns; of each the median and the 99th percentile that it adds to
the bare view's. A minute; ``--quick`` some seconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.compare import shuffled
from benchmarks.site.cases import BY_NAME
from benchmarks.stage import Actor, Stage, acting, set_up
from benchmarks.tables import Table, progress, say
from tests.stores import redis_server, relay

SECONDS_AWAY = 0.001
REQUESTS = 20
FULL_ROUNDS, QUICK_ROUNDS = 100, 5
CASES = ("bare", "floor", "apiguard-key", "apiguard-leases", "peers-key", "peers-smart")


def measure(stage: Stage, rounds: int) -> dict[str, list[float]]:
    """Microseconds of every request, by case; the cases take turns."""
    cases = {name: BY_NAME[name] for name in CASES}
    environments = {name: stage.environment(case) for name, case in cases.items()}
    arguments = {name: stage.arguments(case) for name, case in cases.items()}
    took: dict[str, list[float]] = {name: [] for name in cases}
    with acting(environments, arguments) as actors:
        _warm_up(actors)
        for number in range(rounds):
            if number % 25 == 0:
                progress(f"round {number + 1} of {rounds}")
            for name in shuffled(actors):
                asked = actors[name].ask("time", requests=REQUESTS)
                took[name] += [nanoseconds / 1000 for nanoseconds in asked]
    return took


def _warm_up(actors: Mapping[str, Actor]) -> None:
    for name, actor in actors.items():
        progress(f"starting: {name}")
        actor.ask("time", requests=REQUESTS)


def table(took: Mapping[str, list[float]]) -> Table:
    """Medians and 99th percentiles, and how much of them is the case's."""
    middle = {name: statistics.median(values) for name, values in took.items()}
    slow = {name: statistics.quantiles(values, n=100)[98] for name, values in took.items()}
    peers = middle["peers-key"] - middle["bare"]
    rows = [
        [
            BY_NAME[name].title,
            f"{middle[name]:.0f}",
            f"{slow[name]:.0f}",
            f"{middle[name] - middle['bare']:.0f}",
            f"{slow[name] - slow['bare']:.0f}",
            f"{(middle[name] - middle['bare']) / peers:.2f}",
        ]
        for name in CASES
    ]
    note = (
        "Microseconds of a request in the process, where every reply of Redis takes a\n"
        "millisecond longer; how many of them the case adds to the bare view; and the added\n"
        "median as a share of what (d) adds."
    )
    head = ["case", "median", "p99", "added", "p99 added", "of (d)"]
    return Table("Redis 1 ms away", note, head, rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the guard with a Redis 1 ms away.")
    parser.add_argument("--quick", action="store_true", help="some seconds; rough figures")
    rounds = QUICK_ROUNDS if parser.parse_args().quick else FULL_ROUNDS
    with tempfile.TemporaryDirectory() as folder, redis_server() as server:
        port = urlsplit(server.base_url).port or 0
        with relay(port, seconds=SECONDS_AWAY) as away:
            stage = set_up(Path(folder), f"redis://127.0.0.1:{away}/0")
            say(table(measure(stage, rounds)).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
