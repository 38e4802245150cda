"""What a guarded request adds where Redis is 1 ms away, beside the peers.

    python -m benchmarks.distant_redis [--quick]

Between the workers and Redis stands a relay that holds back every reply for a
millisecond, as another machine in the same data centre does. The cases of
``scripts/bench`` take turns; of each the median and the 99th percentile that it adds to
the bare view's. A minute; ``--quick`` some seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.compare import shuffled
from benchmarks.site.cases import BY_NAME
from benchmarks.stage import Actor, Stage, acting, set_up
from benchmarks.tables import Table, progress, say
from tests.stores import redis_server

SECONDS_AWAY = 0.001
REQUESTS = 20
FULL_ROUNDS, QUICK_ROUNDS = 100, 5
CASES = ("bare", "floor", "apiguard-key", "apiguard-leases", "peers-key", "peers-smart")


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    try:
        while data := await reader.read(65536):
            if seconds:
                await asyncio.sleep(seconds)
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # One side has gone away; the other one learns it now.
    finally:
        writer.close()


class Relay:
    """Passes on what clients send at once, and what the server answers after a while."""

    def __init__(self, port: int, seconds: float) -> None:
        self._to, self._seconds = port, seconds

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(
            _pass_on(reader, server_writer, 0), _pass_on(server_reader, writer, self._seconds)
        )

    async def _run(self, started: Future[tuple[int, Callable[[], object]]]) -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        started.set_result((port, lambda: loop.call_soon_threadsafe(stopped.set)))
        await stopped.wait()
        server.close()

    @contextmanager
    def running(self) -> Iterator[int]:
        """Relay in a thread while the block runs; gives the port."""
        started: Future[tuple[int, Callable[[], object]]] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), daemon=True)
        thread.start()
        port, stop = started.result(10)
        try:
            yield port
        finally:
            stop()
            thread.join()


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
        with Relay(port, SECONDS_AWAY).running() as away:
            stage = set_up(Path(folder), f"redis://127.0.0.1:{away}/0")
            say(table(measure(stage, rounds)).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
