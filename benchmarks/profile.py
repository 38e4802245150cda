"""Where the microseconds of a guarded request go, function by function.

    python -m benchmarks.profile [--requests N] [--case NAME] [--markdown] [--all]

The case is profiled in a process of its own. A profiler makes small functions
dear, so its times are scaled to what the guard adds to the same view without
it: the shares are the profiler's, the sum is what was measured. Waiting for
Redis, which no profiler makes dearer, is therefore shown as somewhat less than
it is.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.attribution import Line, totals
from benchmarks.site.cases import BY_NAME
from benchmarks.stage import Actor, acting, set_up
from benchmarks.tables import Table, progress, say
from tests.stores import redis_server

# What costs less than this is left out of the table of functions.
LEAST_MICROSECONDS = 0.5
ROUNDS = 40


def arguments() -> argparse.Namespace:
    """What a person typed."""
    parser = argparse.ArgumentParser(description="Profile a guarded request.")
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--case", default="apiguard-key", help="default: %(default)s")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--all", action="store_true", help="every function, however cheap")
    return parser.parse_args()


def measure(case_name: str, requests: int) -> tuple[list[Line], float]:
    """The profile, and the microseconds that the guard adds without a profiler."""
    names = ("bare", case_name)
    with tempfile.TemporaryDirectory() as folder, redis_server() as server:
        progress("making the database")
        stage = set_up(Path(folder), f"{server.base_url}/0")
        cases = {name: BY_NAME[name] for name in names}
        environments = {name: stage.environment(case) for name, case in cases.items()}
        headers = {name: stage.arguments(case) for name, case in cases.items()}
        with acting(environments, headers) as actors:
            progress(f"timing {case_name} beside the bare view")
            bare, guarded = _medians(actors, names)
            progress(f"profiling {requests:,} requests")
            found: list[Any] = actors[case_name].ask("profile", requests=requests)
    return [Line(**one) for one in found], guarded - bare


def _medians(actors: dict[str, Actor], names: tuple[str, ...]) -> list[float]:
    took: dict[str, list[int]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            took[name] += actors[name].ask("time", requests=50)
    return [statistics.median(took[name]) / 1000 for name in names]


def scaled(line: Line, by: float) -> Line:
    """The same line on another scale."""
    times = (line.own * by, line.outside * by, line.cumulative * by)
    return Line(line.file, line.function, line.calls, *times)


def tables(found: list[Line], added: float, least: float) -> list[Table]:
    """Files, then functions; times scaled so that they add up to ``added``."""
    profiled = sum(line.charged for line in found)
    lines = [scaled(line, added / profiled if profiled else 0.0) for line in found]
    files = [[file, f"{cost:.1f}"] for file, cost in totals(lines).items()]
    files.append(["all of it", f"{added:.1f}"])
    functions = [
        [f"{line.file}: {line.function}", f"{line.calls:.1f}"]
        + [f"{time:.1f}" for time in (line.own, line.charged, line.cumulative)]
        for line in lines
        if line.charged >= least
    ]
    note = (
        "Microseconds per request, in the shares of a profiler (which takes "
        f"{profiled:.0f} µs for what takes {added:.0f} without it)."
    )
    head = ["function", "calls", "own", "with what it calls outside", "cumulative"]
    return [
        Table("Files", note, ["file", "µs"], files),
        Table("Functions", "The same, by function.", head, functions),
    ]


def main() -> int:
    """Measure and print."""
    options = arguments()
    found, added = measure(options.case, options.requests)
    for table in tables(found, added, 0.0 if options.all else LEAST_MICROSECONDS):
        say(table.markdown() if options.markdown else table.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
