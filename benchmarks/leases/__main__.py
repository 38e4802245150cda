"""What leases are worth, and what they cost: exactness, processes that die, outages, commands.

    python -m benchmarks.leases [--quick]

Starts a Redis of its own on loopback and prints Markdown tables; progress goes to standard
error. Some eight minutes in full, three with ``--quick``.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from apiguard.counters.base import CounterUnavailable, LimitCheck
from apiguard.counters.leases import LeasingCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Decision, Limit
from benchmarks.leases.commands import commands
from benchmarks.leases.worker import PRINCIPAL, ROW
from benchmarks.limits.limiters import connect
from benchmarks.tables import Table, progress, say
from tests.servers import free_port
from tests.stores import redis_cluster, redis_on, redis_server

PROCESSES, THREADS, PERIOD = 8, 64, 60
# The flood moves after so long, at this part of the amount.
STEADY_SECONDS, STEADY_PART = 3.0, 0.8
# After the first refusal: when requests under way have ended; when leases have returned.
SETTLE_SECONDS, RETURN_SECONDS = 0.5, 3.0
SEED = 7
_prefixes = count()


def print_table(title: str, note: str, head: list[str], rows: list[list[Any]]) -> None:
    say(f"\n{Table(title, note, head, rows).markdown()}")


@dataclass(slots=True)
class Crowd:
    """Processes that run, and the file in which their numbers stand."""

    processes: list[subprocess.Popen[str]]
    file: Path
    begun: float

    def admitted(self) -> list[int]:
        """By process, until now."""
        raw = self.file.read_bytes()
        return [ROW.unpack_from(raw, i * ROW.size)[0] for i in range(len(self.processes))]

    def refused(self) -> int:
        raw = self.file.read_bytes()
        return sum(ROW.unpack_from(raw, i * ROW.size)[1] for i in range(len(self.processes)))

    def wait(self, seconds: float) -> None:
        """Wait until so many seconds after the beginning."""
        time.sleep(max(0.0, self.begun + seconds - time.monotonic()))


@contextmanager
def crowd(tasks: list[dict[str, Any]]) -> Iterator[Crowd]:
    """Start a process per task; they begin together with the block."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "numbers"
        file.write_bytes(bytes(ROW.size * len(tasks)))
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-m", "benchmarks.leases.worker"]
        started = [
            subprocess.Popen(  # noqa: S603 - ours
                [*command, json.dumps({**task, "number": number, "file": str(file)})], **pipes
            )
            for number, task in enumerate(tasks)
        ]
        try:
            for process in started:
                process.stdout.readline()
            for process in started:
                process.stdin.write("go\n")
                process.stdin.flush()
            yield Crowd(started, file, time.monotonic())
        finally:
            for process in started:
                process.kill()
                process.wait()


def tasks(
    url: str, amount: int, *, leases: bool, moves: bool, threads: int
) -> list[dict[str, Any]]:
    """A flood of all processes; or steady requests at first, and then a flood of one of them."""
    pause = PROCESSES * threads * STEADY_SECONDS / (STEADY_PART * amount)
    common = {
        "url": url,
        "prefix": f"flood-{next(_prefixes)}",
        "amount": amount,
        "period": PERIOD,
        "leases": leases,
        # Few threads keep a small rate; all of them flood.
        "threads": threads,
        "pause": pause,
        "steady": STEADY_SECONDS,
        "seconds": STEADY_SECONDS + 6,
    }
    floods = [6.0 if not moves or number == 0 else 0.0 for number in range(PROCESSES)]
    return [{**common, "flood": flood} for flood in floods]


def fewer(amount: int, admitted: int) -> str:
    return f"{max(0, amount - admitted):,} ({max(0, amount - admitted) / amount:.1%})"


def wait_for_refusal(running: Crowd) -> float:
    """Return when the first request was refused, in seconds after the beginning."""
    while not running.refused() and time.monotonic() < running.begun + STEADY_SECONDS + 5:
        time.sleep(0.005)
    return time.monotonic() - running.begun


def exactness(url: str, amounts: tuple[int, ...], store: str = "Redis") -> None:
    rows = []
    for amount in amounts:
        for moves in (False, True):
            for leases in (True, False):
                progress(f"exactness: N={amount}, moves: {moves}, leases: {leases}")
                with crowd(tasks(url, amount, leases=leases, moves=moves, threads=THREADS)) as one:
                    refused_at = wait_for_refusal(one)
                    one.wait(refused_at + SETTLE_SECONDS)
                    at_first = sum(one.admitted())
                    one.wait(refused_at + RETURN_SECONDS)
                    later = sum(one.admitted())
                    one.wait(STEADY_SECONDS + 6)
                    at_last = sum(one.admitted())
                flood = "moves to one" if moves else "of all eight"
                row = [f"{amount:,}", flood, "on" if leases else "off", fewer(amount, at_first)]
                row += [fewer(amount, later), f"{at_last:,}", f"{max(0, at_last - amount):,}"]
                rows.append(row)
    note = (
        f"{PROCESSES} processes of {THREADS} threads send {STEADY_PART:.0%} of N in "
        f"{STEADY_SECONDS:.0f} seconds, then all of them\nor one alone flood the limit "
        f"(N per {PERIOD} s). Fewer: what was not admitted of N at so\nmany seconds after the "
        "first refusal."
    )
    head = ["N", "flood", "leases", f"fewer after {SETTLE_SECONDS} s"]
    head += [f"fewer after {RETURN_SECONDS:.0f} s", "admitted in all", "too many"]
    print_table(f"Exactness: {store}", note, head, rows)


def on_cluster(amounts: tuple[int, ...]) -> None:
    progress("starting a cluster")
    with redis_cluster() as servers:
        exactness(f"cluster://127.0.0.1:{servers[0].port}/0", amounts, "a cluster of 3+3")


def killed(url: str, amounts: tuple[int, ...]) -> None:
    dice, rows = random.Random(SEED), []  # noqa: S311 - no secret
    for amount in amounts:
        progress(f"killed processes: N={amount}")
        with crowd(tasks(url, amount, leases=True, moves=False, threads=THREADS)) as one:
            victims = dice.sample(range(PROCESSES), 5)
            moments = sorted(dice.uniform(0.5, STEADY_SECONDS + 0.5) for _ in victims)
            for victim, moment in zip(victims, moments, strict=True):
                one.wait(moment)
                one.processes[victim].kill()
            one.wait(STEADY_SECONDS + 5)
            admitted = sum(one.admitted())
        row = [f"{amount:,}", len(victims), f"{admitted:,}", f"{max(0, admitted - amount):,}"]
        rows.append([*row, fewer(amount, admitted)])
    note = (
        "As above, all eight flood, and five of them are killed (SIGKILL) at random moments of\n"
        "the first 3.5 seconds. What they had reserved returns with the window, after a minute."
    )
    print_table("Killed processes", note, ["N", "killed", "admitted", "too many", "lost"], rows)


class Confirmed:
    """Redis, with the units that it is known to hold: counted and reserved, less given back."""

    def __init__(self, store: RedisCounter) -> None:
        self._store, self._lock, self.units = store, threading.Lock(), 0

    def check(self, check: LimitCheck) -> Decision:
        decision = self._store.check(check)
        with self._lock:
            self.units += check.cost * decision.allowed + decision.reserved
            self.units -= sum(each.units for each in check.given_back)
        return decision

    def read(self, principal: str, limits: tuple[Limit, ...]) -> Decision:
        return self._store.read(principal, limits)

    def reset(self, principal: str, limit_keys: Sequence[int | str]) -> int:
        return self._store.reset(principal, limit_keys)


def outage() -> None:
    rows = []
    for rate, amount in ((50, 10_000), (200, 10_000), (200, 1_000)):
        progress(f"outage: {rate} requests a second, N={amount}")
        port = free_port()
        limits = (Limit(1, "limit", "window", amount, PERIOD),)
        with redis_on(port) as server, connect(f"redis://127.0.0.1:{port}", 0.5) as client:
            store = Confirmed(RedisCounter(lambda: client, "outage"))
            counter = LeasingCounter(store)
            begun, admitted, by_lease, last = time.monotonic(), 0, 0, 0.0
            killed_at = begun + 3
            while time.monotonic() < killed_at + 3:
                if time.monotonic() >= killed_at and server.process.popen.poll() is None:
                    server.process.popen.kill()
                    server.process.popen.wait()
                    killed_at = time.monotonic()
                is_dead = server.process.popen.poll() is not None
                try:
                    allowed = counter.check(LimitCheck(PRINCIPAL, limits, 1)).allowed
                except CounterUnavailable:
                    break
                admitted += allowed
                if is_dead and allowed:
                    by_lease, last = by_lease + 1, time.monotonic() - killed_at
                time.sleep(1 / rate)
        excess = max(0, admitted - store.units)
        rows.append([rate, f"{amount:,}", by_lease, f"{last:.2f} s", excess])
    note = (
        "One process sends steady requests for three seconds; then Redis is killed, and it goes\n"
        "on until a request that no lease covers. In excess: admitted beyond what Redis had\n"
        "counted or reserved."
    )
    head = ["requests/s", "N per minute", "admitted by leases afterwards", "for", "in excess"]
    print_table("Redis killed under a busy caller", note, head, rows)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure leases.")
    parser.add_argument("--quick", action="store_true", help="fewer cases, less time")
    parser.add_argument("--only", choices=["exactness", "cluster", "killed", "outage", "commands"])
    options = parser.parse_args()
    amounts = (1_000,) if options.quick else (100, 1_000, 10_000)
    with redis_server() as server:
        parts = {
            "exactness": lambda: exactness(server.base_url, amounts),
            "cluster": lambda: on_cluster(amounts[-2:]),
            "killed": lambda: killed(server.base_url, amounts),
            "outage": outage,
            "commands": lambda: commands(server.base_url, 30 if options.quick else 120),
        }
        for name, part in parts.items():
            if options.only in (None, name):
                part()
    return 0


if __name__ == "__main__":
    if not (Path.cwd() / "benchmarks").is_dir():
        raise SystemExit("Run it in the checkout: python -m benchmarks.leases")
    sys.exit(main())
