"""Whether settlement is exact, and how many of a caller below its limit it refuses.

    python -m benchmarks.settlement [--quick]

Serves the reference site by four workers of gunicorn and of uvicorn with a Redis of its own
on loopback, and prints Markdown tables; progress goes to standard error. Some five minutes
in full, one and a half with ``--quick``.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from benchmarks.tables import Table, progress, say
from tests.demo_site import DemoSite, make_demo_site
from tests.servers import Server, gunicorn, manage, uvicorn
from tests.stores import redis_server

WORKERS, CLIENTS = 4, 16
RESERVED = 1_000
OPEN = 6
SEED = 7
SERVERS: dict[str, Callable[..., Any]] = {
    "gunicorn": lambda env: gunicorn(env, workers=WORKERS, threads=16),
    "uvicorn": lambda env: uvicorn(env, workers=WORKERS),
}
# Tokens per window, the window, requests per second, tokens of one request: 90 % of N.
AMOUNT, WINDOW, RATE, USED = 100_000, 10, 18, (300, 700)

LIMIT = """
from apiguard.models import *
tier = Tier.objects.get(slug="standard")
tier.limits.exclude(name="tokens-per-minute").update(amount=10**8)
Limit.objects.filter(kind="concurrent").update(amount=1000)
tier.limits.filter(name="tokens-per-minute").update(amount={amount}, period={period})
"""


@dataclass(frozen=True, slots=True)
class Site:
    """The site, served; and the file in which its workers note what they settled."""

    server: Server
    demo: DemoSite
    settled: Path

    def send(self, **order: Any) -> tuple[HTTPConnection, HTTPResponse]:
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        headers = {"X-API-Key": self.demo.api_keys["acme"], "Content-Type": "application/json"}
        connection.request("POST", "/api/complete", json.dumps(order), headers)
        return connection, connection.getresponse()

    def all_settled(self) -> list[int]:
        return [int(line) for line in self.settled.read_text().split()]

    def ledger(self) -> int:
        done = manage("apiguard", "counters", "show", "acme", "--json", env=self.demo.env)
        limits = json.loads(done.stdout)["limits"]
        return next(one["used"] for one in limits if one["limit"] == "tokens-per-minute")


@contextmanager
def served(kind: str, amount: int, period: int) -> Iterator[Site]:
    with redis_server() as store, tempfile.TemporaryDirectory() as folder:
        settled = Path(folder) / "settled"
        settled.touch()
        url = f"{store.base_url}/0?socket_timeout=5&socket_connect_timeout=5"
        demo = make_demo_site(f"sqlite:///{folder}/site.sqlite3", url).with_env(
            DJANGO_SETTINGS_MODULE="benchmarks.settlement.settings", SETTLED_FILE=str(settled)
        )
        done = manage("shell", "-c", LIMIT.format(amount=amount, period=period), env=demo.env)
        if done.returncode:
            raise SystemExit(done.stderr)
        with SERVERS[kind](demo.env) as server:
            yield Site(server, demo, settled)


def hang_up(connection: HTTPConnection, answer: HTTPResponse) -> None:
    """Go away at once: the server is told with its next packet."""
    sock = connection.sock
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    answer.close()
    connection.close()


def ask(site: Site, number: int, count: dict[str, int], lock: threading.Lock) -> None:
    """One request: read to its end, left in the middle, or left at once."""
    draw = random.Random(SEED * 1_000_003 + number)  # noqa: S311 - a seed, no secret
    tokens, leaves = draw.randint(0, 2 * RESERVED // 5), draw.random() < 0.5
    if draw.random() < 0.1:
        tokens = RESERVED + draw.randint(1, 300)
    connection, answer = site.send(tokens=tokens, pause=0.0)
    with lock:
        count["left" if leaves else "read"] += 1
        count["refused"] += answer.status != 200
    if leaves:
        answer.read(draw.choice([0, 1, 100_000, 3_000_000]))
        hang_up(connection, answer)
    else:
        while answer.read(1 << 20):
            pass
        connection.close()


def measure_ledger(kind: str, requests: int) -> list[Any]:
    with served(kind, 10**8, 3600) as site:
        # Held open: they have reserved, and settle nothing until they are left.
        opened = [site.send(tokens=10**6, pause=0.05) for _ in range(OPEN)]
        count, lock = {"read": 0, "left": 0, "refused": 0}, threading.Lock()
        with ThreadPoolExecutor(CLIENTS) as threads:
            list(threads.map(lambda number: ask(site, number, count, lock), range(requests)))
        wait_for(lambda: len(site.all_settled()) == requests)
        time.sleep(1)
        during, settled = site.ledger(), sum(site.all_settled())
        for connection, answer in opened:
            hang_up(connection, answer)
        wait_for(lambda: len(site.all_settled()) == requests + OPEN)
        time.sleep(1)
        after, all_settled = site.ledger(), sum(site.all_settled())
    return [
        *(kind, count["read"], count["left"], count["refused"]),
        *(f"{settled:,} + {OPEN * RESERVED:,}", f"{during:,}"),
        *(f"{all_settled:,}", f"{after:,}"),
    ]


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("Streams did not end: their clients are gone, or read to the end.")
        time.sleep(0.1)


def measure_refusals(kind: str, windows: int) -> list[Any]:
    """A steady caller at 90 % of its limit, from the second window on."""
    with served(kind, AMOUNT, WINDOW) as site:
        draw = random.Random(SEED)  # noqa: S311 - a seed, no secret
        begun = time.monotonic()
        answers: list[int] = []

        def one(number: int, tokens: int) -> None:
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
            connection, answer = site.send(tokens=tokens, pause=0.0, is_short=True)
            answer.read()
            connection.close()
            if number >= RATE * WINDOW:
                answers.append(answer.status)

        with ThreadPoolExecutor(CLIENTS) as threads:
            for number in range(RATE * WINDOW * (windows + 1)):
                threads.submit(one, number, draw.randint(*USED))
    refused = sum(status == 429 for status in answers)
    others = sum(status not in (200, 429) for status in answers)
    return [kind, len(answers), refused, f"{100 * refused / len(answers):.2f} %", others]


def print_table(title: str, note: str, head: list[str], rows: list[list[Any]]) -> None:
    say(f"\n{Table(title, note, head, rows).markdown()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer requests, three windows")
    quick = parser.parse_args(sys.argv[1:]).quick
    requests, windows = (150, 3) if quick else (600, 10)
    rows = []
    for kind in SERVERS:
        progress(f"ledger, {kind}")
        rows.append(measure_ledger(kind, requests))
    print_table(
        "What the ledger holds",
        f"{WORKERS} workers, {CLIENTS} clients at once, each request reserves {RESERVED:,} tokens; "
        f"half of the clients hang up in the middle; {OPEN} streams are open at the first look.",
        ["server", "read", "left", "refused", "settled + reserved", "ledger", "settled", "ledger"],
        rows,
    )
    rows = []
    for kind in SERVERS:
        progress(f"a caller at 90 %, {kind}")
        rows.append(measure_refusals(kind, windows))
    print_table(
        "A caller at 90 % of its limit",
        f"{AMOUNT:,} tokens per {WINDOW} s; {RATE} requests per second that reserve {RESERVED:,} "
        f"and use {USED[0]} to {USED[1]}; {windows} windows after the first.",
        ["server", "requests", "refused", "share", "other answers"],
        rows,
    )


if __name__ == "__main__":
    main()
