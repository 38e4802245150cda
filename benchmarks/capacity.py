"""How many requests a worker serves, predicted from two figures and measured.

    python -m benchmarks.capacity [--quick]

The model: a request takes what it takes without the guard, and what the guard adds in the
process. Both are measured; the prediction is compared with gunicorn under load. The load
generator shares the processors with the servers, so the prediction is a little too high.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks import compare
from benchmarks.figures import Measured
from benchmarks.site.cases import CASES
from benchmarks.stage import BenchmarkFailed, set_up
from benchmarks.tables import Table, progress, say
from tests.servers import ServerError
from tests.stores import redis_server

NAMES = ("bare", "apiguard-key", "apiguard-jwt", "apiguard-leases", "apiguard-memory")
MEASURED = tuple(case for case in CASES if case.name in NAMES)
FULL = compare.Bouts(rounds=100, requests=40, served_rounds=15, served_requests=400)
QUICK = compare.QUICK
# What the database has tables of.
WITH_ROWS = next(case for case in CASES if case.name == "apiguard-key")


def predict(bare: Measured, added_microseconds: float, workers: int) -> float:
    """Return the requests per second of ``workers`` that each spend so much more on a request."""
    return 1 / (1 / bare.per_second + added_microseconds / 1e6 / workers)


def table(measured: Mapping[str, Measured]) -> Table:
    """Prediction and measurement of each case."""
    bare = measured["bare"]
    rows = []
    for case in MEASURED:
        one = measured[case.name]
        added = one.microseconds - bare.microseconds
        predicted = predict(bare, added, compare.WORKERS)
        error = predicted / one.per_second - 1
        row = (f"{added:.0f}", f"{predicted:.0f}", f"{one.per_second:.0f}", f"{error:+.0%}")
        rows.append((case.title, *row))
    return Table(
        "Predicted and measured",
        f"gunicorn with {compare.WORKERS} sync workers, requests per second.",
        ("case", "added µs", "predicted", "measured", "off by"),
        rows,
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="rough figures in ten seconds")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, redis_server() as server:
            progress("making the database")
            stage = set_up(Path(folder), f"{server.base_url}/0", WITH_ROWS)
            bouts = QUICK if options.quick else FULL
            measured = compare.compare(stage, MEASURED, bouts)
    except (BenchmarkFailed, ServerError) as error:
        say(f"It could not be measured. {error}")
        return 2
    say(table(measured).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
