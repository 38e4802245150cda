"""What the limiter is worth: exactness, cost, memory, and what an outage does to requests.

    python -m benchmarks.limits [--quick]

Starts a Redis and a Redis Cluster of its own on loopback, measures apiguard's
counter beside DRF's SimpleRateThrottle, the ``limits`` library and
django-smart-ratelimit, and prints Markdown tables. Progress goes to standard error.
Under five minutes in full, seconds with ``--quick``.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from apiguard.counters.base import LimitCheck, hash_principal, key_for
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import MICROSECONDS
from benchmarks.limits.limiters import ALL, PREFIX, connect, limiter, missing_peers, windows
from benchmarks.round_trips import commands_of, microseconds_in_redis
from benchmarks.tables import Table, progress, say
from tests.servers import Server, free_port
from tests.stores import redis_cluster, redis_on

NUMBERS = (1, 3, 8)
PLENTY = 10**6


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    processes: int
    threads: int
    amounts: tuple[int, ...]
    calls: int
    crowd: int


FULL = Size(processes=8, threads=64, amounts=(100, 10_000), calls=1000, crowd=4)
QUICK = Size(processes=2, threads=8, amounts=(100,), calls=200, crowd=2)


def table(title: str, note: str, head: list[str], rows: list[list[Any]]) -> None:
    """A Markdown table under a heading."""
    say(f"\n{Table(title, note, head, rows).markdown()}")


@contextmanager
def crowd(processes: int, task: dict[str, Any]) -> Iterator[Callable[[], list[Any]]]:
    """Processes that begin together when the block begins; the function gives what they say."""
    command = [sys.executable, "-m", "benchmarks.limits.crowd", json.dumps(task)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, **pipes) for _ in range(processes)]  # noqa: S603 - ours
    try:
        for process in started:
            process.stdout.readline()
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        yield lambda: [json.loads(one.communicate(timeout=180)[0]) for one in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


def exactness(size: Size, url: str, cluster_url: str) -> None:
    rows, head = [], ["limiter", "store", "N", "asked", "admitted", "too many"]
    for amount in size.amounts:
        places = [("apiguard", "Redis", url), ("apiguard", "cluster of 3+3", cluster_url)]
        if amount == size.amounts[0]:
            places += [(name, "Redis", url) for name in ALL[1:]]
        for name, store, place in places:
            progress(f"exactness: {name}, {store}, N={amount}")
            connect(place).flushall()
            each = max(amount * 5 // (4 * size.processes), 10 * size.threads)
            task = {"do": "exactness", "limiter": name, "url": place, "amount": amount}
            task |= {"threads": size.threads, "requests": each}
            with crowd(size.processes, task) as said:
                admitted = sum(said())
            asked = each * size.processes
            rows.append([name, store, f"{amount:,}", f"{asked:,}", f"{admitted:,}"])
            rows[-1].append(f"{max(0, admitted - amount):,}")
    note = (
        f"{size.processes} processes of {size.threads} threads ask for one principal at once.\n"
        "DRF reads and writes in two steps: of all that is asked in between, one is counted."
    )
    table("Exactness", note, head, rows)


def fill(client: Redis, principal: str, number: int) -> None:
    """The past of a client that was busy for as long as each of its windows: full logs."""
    for limit in windows(number, PLENTY):
        now = time.time_ns() // 1000 - limit.period * MICROSECONDS
        step = limit.period * MICROSECONDS // 96 + 1
        moments = iter(range(now, now + 97 * step, step))
        counter = RedisCounter(lambda: client, PREFIX, clock=lambda: next(moments))  # noqa: B023
        for _ in range(96):
            counter.check(LimitCheck(principal, (limit,), 100))


def asks(name: str, client: Redis, url: str) -> dict[str, Callable[[], object]]:
    """What is timed together: PING, and one limiter with some limits."""
    timed: dict[str, Callable[[], object]] = {"PING": client.ping}
    for number in NUMBERS:
        principal, ask = f"{name}-{number}", limiter(name, url, number, PLENTY)
        if name == "apiguard":
            fill(client, principal, number)
        timed[str(number)] = lambda ask=ask, principal=principal: ask(principal)
    return timed


def round_trips(timed: dict[str, Callable[[], object]], calls: int) -> dict[str, list[float]]:
    """Microseconds that each call took; in mixed order, so that none always follows another."""
    took: dict[str, list[float]] = {name: [] for name in timed}
    order = list(timed.items())
    for _ in range(calls):
        random.shuffle(order)
        for name, call in order:
            begin = time.perf_counter_ns()
            call()
            took[name].append((time.perf_counter_ns() - begin) / 1000)
    return took


def cost(size: Size, client: Redis, url: str) -> None:
    rows = []
    for limiter_name in ALL:
        progress(f"cost: {limiter_name}")
        client.flushall()
        timed = asks(limiter_name, client, url)
        took = round_trips(timed, size.calls)
        p50 = {name: statistics.median(values) for name, values in took.items()}
        p99 = {name: statistics.quantiles(values, n=100)[98] for name, values in took.items()}
        for number in map(str, NUMBERS):
            sent = commands_of(client, timed[number])
            inside = microseconds_in_redis(client, timed[number], 200)
            rows.append([limiter_name, number, len(sent), f"{inside:.1f}", f"{p50[number]:.0f}"])
            rows[-1] += [
                f"{p50['PING']:.0f}",
                f"{p50[number] / p50['PING']:.2f}",
                f"{p99[number] / p99['PING']:.2f}",
            ]
    note = (
        f"Medians of {size.calls:,} calls each, in mixed order with as many PINGs. Logs of\n"
        "apiguard are full (33 entries); the others' hold what they were asked meanwhile."
    )
    head = ["limiter", "limits", "commands", "µs in Redis", "p50 µs", "PING µs", "p50 / PING"]
    head.append("p99 / PING")
    table("Cost of a decision", note, head, rows)


def memory(size: Size, client: Redis, url: str) -> None:
    rows = []
    for amount in (100, 1000):
        row = [f"{amount:,}"]
        for name in ALL:
            progress(f"memory: {name}, N={amount}")
            client.flushall()
            ask = limiter(name, url, 1, amount)
            for _ in range(amount):
                ask("client")
            row.append(
                f"{sum(client.memory_usage(key, samples=0) for key in client.scan_iter()):,}"
            )
        rows.append(row)
    note = "Bytes (MEMORY USAGE) per client and limit after N requests, one after the other."
    table("Memory", note, ["N", *ALL], rows)
    client.flushall()
    fill(client, "full", len(NUMBERS) + 5)
    rows = [
        [
            f"{limit.period:,} s",
            client.memory_usage(key_for(PREFIX, hash_principal("full"), limit.pk)),
        ]
        for limit in sorted(windows(8, PLENTY), key=lambda limit: limit.period)
    ]
    version = client.info("server")["redis_version"]
    note = f"The most that apiguard's log can take: 33 entries, whatever N is. Redis {version}."
    table("Memory of a full log", note, ["window", "bytes"], rows)


def outages(size: Size) -> None:
    rows = []
    for name in ("SIGSTOP", "SIGKILL"):
        progress(f"outage: {name}")
        with ExitStack() as stack:
            port = free_port()
            server: Server = stack.enter_context(redis_on(port))
            task = {"do": "outage", "url": f"redis://127.0.0.1:{port}", "amount": 500}
            task |= {"seconds": 7, "threads": 8}
            with crowd(size.crowd, task) as said:
                time.sleep(1)
                stop = signal.SIGSTOP if name == "SIGSTOP" else signal.SIGKILL
                away = time.time()
                server.process.popen.send_signal(stop)
                time.sleep(2)
                if name == "SIGSTOP":
                    server.process.resume()
                else:
                    stack.enter_context(redis_on(port))
                back = time.time()
                seen = said()
        rows.append([name, *outage_row(seen, away, back)])
    head = ["what", "decisions", "failed calls", "slower than 25 ms"]
    head += ["admitted, N=500", "counted there again after"]
    note = (
        f"{size.crowd} processes of 8 threads ask every 20 ms; a `local` limit; 50 ms timeouts.\n"
        "After one second the server is stopped or killed, for two seconds. Without it each\n"
        "process counts by itself. A server that was killed has forgotten what it counted."
    )
    table("Outages", note, head, rows)


def outage_row(seen: list[dict[str, Any]], away: float, back: float) -> list[Any]:
    """Totals over all processes; an exception would have ended its process."""
    total = {key: sum(one[key] for one in seen) for key in ("decisions", "slow", "admitted")}
    failed = sum(len(one["failed"]) for one in seen)
    again = [min((t - back for t in one["answered"] if t > back), default=99.0) for one in seen]
    numbers = [failed, total["slow"], total["admitted"], f"{max(again):.1f} s"]
    return [f"{total['decisions']:,}", *numbers]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the limiter beside others.")
    parser.add_argument("--quick", action="store_true", help="a few seconds; rough figures")
    size = QUICK if parser.parse_args().quick else FULL
    if missing := missing_peers():
        say(f"Not installed: {', '.join(missing)}. pip install -r requirements-bench.txt")
        return 2
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with redis_on(port), connect(url) as client:
        progress("starting a cluster")
        with redis_cluster() as servers:
            exactness(size, url, f"cluster://127.0.0.1:{servers[0].port}/0")
        cost(size, client, url)
        memory(size, client, url)
    outages(size)
    return 0


if __name__ == "__main__":
    if not (Path.cwd() / "benchmarks").is_dir():
        raise SystemExit("Run it in the checkout: python -m benchmarks.limits")
    sys.exit(main())
