"""What the guard adds to a request, by the processor on which Redis works.

    python -m benchmarks.processors [--markdown]

A kernel may wake Redis on the processor of the process that asked: then the two
take turns, and nothing goes on meanwhile. On a processor of its own Redis works
while Django finds the view, but has to be woken from afar. Linux alone can be
told which it shall be; half a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks import compare
from benchmarks.site.cases import BY_NAME
from benchmarks.stage import Stage, acting, set_up
from benchmarks.tables import Table, progress, say
from tests.servers import ServerError
from tests.stores import redis_server

CASES = tuple(BY_NAME[name] for name in ("bare", "floor", "apiguard-key"))
BOUTS = compare.Bouts(rounds=40, requests=40, served_rounds=0, served_requests=0)
# Which of two processors Redis and the process may use; empty: as the kernel likes.
ARRANGEMENTS: Mapping[str, tuple[int, int] | None] = {
    "as the kernel likes": None,
    "one for both": (0, 0),
    "one for each": (0, 1),
}


@contextmanager
def arranged(redis_pid: int, which: tuple[int, int] | None) -> Iterator[None]:
    """Redis, and whoever is started meanwhile, on these of our processors."""
    mine = sorted(os.sched_getaffinity(0))
    redis_had = os.sched_getaffinity(redis_pid)
    try:
        if which is not None:
            os.sched_setaffinity(redis_pid, {mine[which[0]]})
            os.sched_setaffinity(0, {mine[which[1]]})
        yield
    finally:
        os.sched_setaffinity(0, mine)
        os.sched_setaffinity(redis_pid, redis_had)


def measure(stage: Stage) -> dict[str, float]:
    """Median microseconds of a request of each case, in turns."""
    environments = {case.name: stage.environment(case) for case in CASES}
    arguments = {case.name: [json.dumps(dict(stage.headers(case)))] for case in CASES}
    with acting(environments, arguments) as actors:
        return compare.in_process(stage, actors, BOUTS)


def table(measured: Mapping[str, Mapping[str, float]]) -> Table:
    """A row per arrangement."""
    rows = []
    for name, took in measured.items():
        floor, guarded = took["floor"] - took["bare"], took["apiguard-key"] - took["bare"]
        figures = (f"{took['bare']:.0f}", f"{floor:.0f}", f"{guarded:.0f}")
        rows.append([name, *figures, f"{guarded / floor:.2f}"])
    return Table(
        "Processors",
        "Microseconds of a request in one process: the bare view, what a PING adds to it, what\n"
        "case (b) adds, and that as a multiple of the PING; by the processors of both.",
        ["processor", "bare", "PING", "(b)", "x PING"],
        rows,
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processors")
    parser.add_argument("--markdown", action="store_true", help="the table as the docs have it")
    options = parser.parse_args()
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        say("This needs Linux, and two processors.")
        return 2
    measured = {}
    try:
        with tempfile.TemporaryDirectory() as folder, redis_server() as server:
            stage = set_up(Path(folder), f"{server.base_url}/0")
            for name, which in ARRANGEMENTS.items():
                progress(f"processors: {name}")
                with arranged(server.process.popen.pid, which):
                    measured[name] = measure(stage)
    except ServerError as error:
        say(f"It could not be measured. {error}")
        return 2
    result = table(measured)
    say(result.markdown() if options.markdown else result.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
