"""One process that floods a limit; started by ``benchmarks.leases``, not by hand.

Reads its task as JSON from its arguments, says that it is ready, waits for a line on
standard input, and sends requests until the end. What it admitted and refused stands in a
file that all processes share, so that it is known also of one that was killed.
"""

from __future__ import annotations

import json
import mmap
import random
import struct
import sys
import threading
import time
from typing import Any

from apiguard.concurrency import CircuitBreaker
from apiguard.counters.base import LimitCheck
from apiguard.counters.breaker import ResilientCounter
from apiguard.counters.denials import Denials, PolicyCounter
from apiguard.counters.leases import LeasingCounter
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Limit
from benchmarks.limits.limiters import connect

# Per process: admitted, refused.
ROW = struct.Struct("<QQ")
PRINCIPAL = "client:1"


def make_counter(url: str, prefix: str, *, leases: bool) -> PolicyCounter:
    """The counter of a worker, as ``counters.factory`` makes it, with timeouts of ten seconds."""
    client = connect(url)
    store = ResilientCounter(
        RedisCounter(lambda: client, prefix, wait=10), MemoryCounter(), CircuitBreaker()
    )
    return PolicyCounter(store, Denials(), LeasingCounter(store) if leases else None)


class Flood:
    """Threads that send requests: at a rate at first, as fast as they can later, or not at all."""

    def __init__(self, task: dict[str, Any], shared: mmap.mmap) -> None:
        self.counter = make_counter(task["url"], task["prefix"], leases=task["leases"])
        self.limits = (Limit(1, "limit", "window", task["amount"], task["period"]),)
        self.shared, self.row = shared, task["number"] * ROW.size
        self.pause = task["pause"]
        self.lock = threading.Lock()
        self.numbers = [0, 0]

    def send(self) -> None:
        decision = self.counter.check(self, LimitCheck(PRINCIPAL, self.limits, 1))
        with self.lock:
            self.numbers[not decision.allowed] += 1
            ROW.pack_into(self.shared, self.row, *self.numbers)

    def run(self, steady_until: float, end: float) -> None:
        """One thread: steady, then a flood until ``end``, which may be before it begins."""
        # Threads that began together would send in waves.
        due = time.monotonic() + random.uniform(0, self.pause)  # noqa: S311
        while due < steady_until:
            time.sleep(max(0.0, due - time.monotonic()))
            self.send()
            due += self.pause
        time.sleep(max(0.0, steady_until - time.monotonic()))
        while time.monotonic() < end:
            self.send()
            # Other processes run on the same cores.
            time.sleep(0.001)


def main(task: dict[str, Any]) -> None:
    with open(task["file"], "r+b") as file:  # noqa: PTH123 - mmap takes a descriptor
        shared = mmap.mmap(file.fileno(), 0)
    flood = Flood(task, shared)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    begin = time.monotonic()
    times = (begin + task["steady"], begin + task["steady"] + task["flood"])
    threads = [threading.Thread(target=flood.run, args=times) for _ in range(task["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # What the leases have left is given back by their thread meanwhile.
    time.sleep(max(0.0, begin + task["seconds"] - time.monotonic()))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
