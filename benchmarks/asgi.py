"""An asynchronous view behind uvicorn, bare and guarded; and clients that hang up.

    python -m benchmarks.asgi [--rounds 20] [--requests 2000] [--cancelled 10000] [--markdown]

Serves both cases with uvicorn (uvloop, httptools), one process each, and a Redis of its
own. A round sends the same requests to one, then to the other; the ratio of a pair is
what counts, because both ran in the same moments. Then clients hang up on the guarded
view, and the table shows what the process holds before and after.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis
import urllib3

from benchmarks.site.cases import AMOUNT, ASYNC_BARE, ASYNC_GUARDED, Case
from benchmarks.stage import Stage, run, set_up
from benchmarks.tables import Table, progress, say
from tests.servers import Server, uvicorn
from tests.stores import redis_server

OPTIONS = ("--loop", "uvloop", "--http", "httptools", "--no-access-log")
SETTLE_SECONDS = 3.0
CASES = (ASYNC_BARE, ASYNC_GUARDED)


def serve(stage: Stage, case: Case) -> Any:
    """The case under uvicorn, as a context manager that gives a server."""
    return uvicorn(
        stage.environment(case), application="benchmarks.site.asgi:application", options=OPTIONS
    )


def task(stage: Stage, case: Case, server: Server, do: str, requests: int) -> str:
    """What the load generator is told."""
    told = {"do": do, "port": server.port, "requests": requests, "connections": 8}
    return json.dumps({**told, "path": case.path, "headers": dict(stage.headers(case))})


def rates(stage: Stage, servers: Mapping[str, Server], size: argparse.Namespace) -> Table:
    """Requests per second of each case, and the median ratio of the pairs."""
    tasks = {
        case.name: task(stage, case, servers[case.name], "keep_alive", size.requests)
        for case in CASES
    }
    seen: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(-1, size.rounds):
        progress(f"round {number + 1} of {size.rounds}")
        stage.empty()
        for name in random.sample(list(tasks), len(tasks)):
            rate = run({}, "benchmarks.load", tasks[name])
            if number >= 0:  # The first is for imports and caches.
                seen[name].append(rate)
    bare, guarded = seen[ASYNC_BARE.name], seen[ASYNC_GUARDED.name]
    ratios = sorted(ours / theirs for ours, theirs in zip(guarded, bare, strict=True))
    rows = [(case.title, f"{statistics.median(seen[case.name]):,.0f}") for case in CASES]
    rows.append(("guarded / bare, median of the pairs", f"{statistics.median(ratios):.2f}"))
    note = f"{size.rounds} pairs of {size.requests} requests over 8 kept connections, one process."
    return Table("Asynchronous view behind uvicorn", note, ("", "requests/s"), rows)


def hang_ups(stage: Stage, server: Server, client: redis.Redis, cancelled: int) -> Table:
    """What the guarded process holds before and after clients that hang up."""
    stage.empty()
    before = held(server, stage, client)
    progress(f"{cancelled} clients that hang up")
    run({}, "benchmarks.load", task(stage, ASYNC_GUARDED, server, "hang_up", cancelled))
    time.sleep(SETTLE_SECONDS)
    after = held(server, stage, client)
    rows = [(name, before[name], after[name]) for name in before]
    note = f"{cancelled} requests whose client closes its connection at once."
    return Table("Clients that hang up", note, ("of the guarded process", "before", "after"), rows)


def held(server: Server, stage: Stage, client: redis.Redis) -> dict[str, int]:
    """Threads, open files and Redis connections, and what the limits have counted."""
    process = Path(f"/proc/{server.process.pid}")
    connected: Any = client.info("clients")
    return {
        "threads": len(list((process / "task").iterdir())),
        "open files": len(list((process / "fd").iterdir())),
        "Redis connections": int(connected["connected_clients"]),
        "requests counted": counted(server, stage),
    }


def counted(server: Server, stage: Stage) -> int:
    """Return how many requests a limit holds, by the headers of one more."""
    url = f"{server.base_url}{ASYNC_GUARDED.path}"
    answer = urllib3.request("GET", url, headers=dict(stage.headers(ASYNC_GUARDED)))
    return AMOUNT - int(answer.headers["X-RateLimit-Remaining"]) - 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--cancelled", type=int, default=10_000)
    parser.add_argument("--markdown", action="store_true")
    size = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="apiguard-asgi-")))
        store = stack.enter_context(redis_server())
        stage = set_up(folder, store.base_url, ASYNC_GUARDED)
        servers = {case.name: stack.enter_context(serve(stage, case)) for case in CASES}
        client = stack.enter_context(redis.Redis.from_url(stage.redis_url))
        tables = [
            rates(stage, servers, size),
            hang_ups(stage, servers[ASYNC_GUARDED.name], client, size.cancelled),
        ]
        for table in tables:
            say(table.markdown() if size.markdown else table.text())


if __name__ == "__main__":
    main()
