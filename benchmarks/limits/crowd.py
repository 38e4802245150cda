"""One process of the crowd that ``benchmarks.limits`` sends; not to be started by hand.

Reads its task as JSON from its arguments, says that it is ready, waits for a
line on standard input, does the task, and prints what happened as JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from apiguard.concurrency import CircuitBreaker
from apiguard.counters.base import LimitCheck, StoreFailed
from apiguard.counters.breaker import ResilientCounter
from apiguard.counters.memory import MemoryCounter
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Decision, Limit
from benchmarks.limits.limiters import connect, limiter

SLOW_SECONDS = 0.025
PAUSE_SECONDS = 0.02


def wait_for_the_others() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def exactness(task: dict[str, Any]) -> int:
    """How many of this process's requests were admitted."""
    ask = limiter(task["limiter"], task["url"], 1, task["amount"])
    ask("warm-up")
    wait_for_the_others()
    with ThreadPoolExecutor(task["threads"]) as pool:
        return sum(pool.map(lambda _: ask("crowd"), range(task["requests"])))


@dataclass(slots=True)
class Outage:
    """What one process saw of a store that went away and came back."""

    decisions: int = 0
    admitted: int = 0
    slow: int = 0
    failed: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)


class Noted:
    """A store that notes when it answered and when it failed, on the wall clock."""

    def __init__(self, store: RedisCounter, outage: Outage) -> None:
        self._store, self._outage = store, outage

    def check(self, check: LimitCheck) -> Decision:
        try:
            decision = self._store.check(check)
        except StoreFailed:
            self._outage.failed.append(time.time())
            raise
        self._outage.answered.append(time.time())
        return decision


def outage(task: dict[str, Any]) -> dict[str, Any]:
    """Ask steadily for some seconds, whatever happens to the store meanwhile."""
    logging.disable()
    seen, client = Outage(), connect(task["url"], 0.05)
    store = Noted(RedisCounter(lambda: client, "outage"), seen)
    counter = ResilientCounter(store, MemoryCounter(), CircuitBreaker())
    limits = (Limit(1, "per-hour", "window", task["amount"], 3600),)
    wait_for_the_others()
    end = time.monotonic() + task["seconds"]

    def ask_on(_: int) -> None:
        while (begin := time.monotonic()) < end:
            allowed = counter.check(LimitCheck("crowd", limits, 1)).allowed
            seen.slow += time.monotonic() - begin > SLOW_SECONDS
            seen.decisions += 1
            seen.admitted += allowed
            time.sleep(PAUSE_SECONDS)

    with ThreadPoolExecutor(task["threads"]) as pool:
        list(pool.map(ask_on, range(task["threads"])))
    return asdict(seen)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    done = {"exactness": exactness, "outage": outage}[given["do"]](given)
    sys.stdout.write(json.dumps(done))
