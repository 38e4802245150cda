"""What the guard adds to a request, by the processor on which Redis works.

    python -m benchmarks.processors [--markdown]    # part of scripts/bench, too

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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks import compare
from benchmarks.figures import Placed
from benchmarks.report import processors
from benchmarks.site.cases import BY_NAME
from benchmarks.stage import BenchmarkFailed, Stage, acting, set_up
from benchmarks.tables import progress, say
from tests.servers import ServerError
from tests.stores import redis_server

CASES = tuple(BY_NAME[name] for name in ("bare", "floor", "apiguard-key"))
ROUNDS = 40
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


def can_be_told() -> bool:
    """Whether this system lets us choose, and there is something to choose from."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1


def measure(
    stage: Stage, redis_pid: int, rounds: int, arrangements: Iterable[str] = ARRANGEMENTS
) -> dict[str, Placed]:
    """What a request takes by each of the arrangements; nothing where none can be made."""
    if not can_be_told():
        return {}
    placed = {}
    for name in arrangements:
        progress(f"processors: {name}")
        with arranged(redis_pid, ARRANGEMENTS[name]):
            took = in_turns(stage, rounds)
        placed[name] = Placed(took["bare"], took["floor"], took["apiguard-key"])
    return placed


def in_turns(stage: Stage, rounds: int) -> dict[str, float]:
    """Median microseconds of a request of each case."""
    bouts = compare.Bouts(rounds=rounds, requests=40, served_rounds=0, served_requests=0)
    environments = {case.name: stage.environment(case) for case in CASES}
    arguments = {case.name: [json.dumps(dict(stage.headers(case)))] for case in CASES}
    with acting(environments, arguments) as actors:
        return compare.in_process(stage, actors, bouts)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processors")
    parser.add_argument("--markdown", action="store_true", help="the table as the docs have it")
    options = parser.parse_args()
    if not can_be_told():
        say("This needs Linux, and two processors.")
        return 2
    try:
        with tempfile.TemporaryDirectory() as folder, redis_server() as server:
            stage = set_up(Path(folder), f"{server.base_url}/0")
            placed = measure(stage, server.process.popen.pid, ROUNDS)
    except (BenchmarkFailed, ServerError) as error:
        say(f"It could not be measured. {error}")
        return 2
    result = processors(placed)
    say(result.markdown() if options.markdown else result.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
