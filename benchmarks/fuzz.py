"""Every request header that is read, random, mutated and hostile, through live servers.

    python -m benchmarks.fuzz [--requests 100000] [--server gunicorn|uvicorn] [--seed N]

Serves the demonstration with gunicorn (two workers) and then with uvicorn,
with a Redis of its own, and sends each so many requests over raw sockets: kept
alive and pipelined, or on a connection of their own where a value may say
where the body ends. Prints what was answered, what the workers hold in memory
as it goes on, whether any line of the log was broken, and whether the site
answers at the end as it did at the start. Exits with 1 if it does not, if any
answer was a 5xx, or if memory still grew in the second half. ``--control`` does
the same without the middleware, to tell its growth from the server's.

What the server in front refuses itself, or hangs up on, is its own affair.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fuzz_wire import Connection, NoAnswer, Sent
from benchmarks.tables import Table, progress, say
from tests.demo_site import DemoSite, make_template
from tests.server.calls import Site
from tests.server.conftest import prepared, serving
from tests.server.hostile import HEADERS, NASTY, ODD_TOKENS, PLAUSIBLE, hostile_value, signed
from tests.stores import redis_server

THREADS, PIPELINED = 4, 4
# Values of these say where a request ends, so nothing can follow it.
FRAMING = frozenset({"Content-Length", "Transfer-Encoding"})
SUBJECTS, LOOKS = 500, 10
# Few enough that bounded tables are as full at half-way as at the end.
ADDRESSES = 2_000
# What an allocator may keep without anything being held, over 50,000 requests. Under ASGI Django
# takes a thread for each request, and a worker grows as much without the middleware: see --control.
SLACK_MIB = {"gunicorn": 4.0, "uvicorn": 10.0}
SERVERS = {"gunicorn": {"workers": 2, "threads": THREADS}, "uvicorn": {"workers": 1}}


@dataclass(slots=True)
class Result:
    """What a server did with its requests."""

    kind: str
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    memory: list[tuple[int, list[float]]] = field(default_factory=list)
    seconds: float = 0.0
    same: bool = False
    broken_lines: int = 0

    @property
    def grew(self) -> float:
        """MiB by which the worst worker grew from half-way to the end."""
        half, end = self.memory[len(self.memory) // 2][1], self.memory[-1][1]
        return max(after - before for before, after in zip(half, end, strict=True))

    @property
    def good(self) -> bool:
        """Whether all that is promised held."""
        calm = self.grew <= SLACK_MIB[self.kind] and not self.broken_lines
        return calm and self.same and not self.failed


class Attempts:
    """Requests without end: one to three hostile headers each, the others as they should be."""

    def __init__(self, demo: DemoSite, seed: int) -> None:
        self.source = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        secret = demo.env["JWT_SECRET"]
        claims = '{"iss":"apiguard-demo","aud":"apiguard-demo-clients","sub":"%s","exp":4000000000}'
        good = [claims % f"fuzz-{number}" for number in range(SUBJECTS)]
        self.tokens = [signed('{"alg":"HS256"}', one, secret) for one in good]
        self.odd = [signed(header, claims, secret) for header, claims in ODD_TOKENS]

    def __iter__(self) -> Iterator[Sent]:
        while True:
            yield self.one()

    def one(self) -> Sent:
        """The next request."""
        source = self.source
        names = source.sample(sorted(HEADERS), k=source.choice((1, 1, 2, 3)))
        method, path = HEADERS[names[0]]
        values = {name: self._value(name) for name in names}
        headers = {**self._ordinary(method), **values}
        if "X-API-Key" in values:
            headers.pop("Authorization", None)
        alone = not FRAMING.isdisjoint(values)
        body = b'{"item": "tea"}' if method == "POST" else b""
        return Sent(names[0], method, path, headers, body, alone)

    def _value(self, name: str) -> bytes:
        kind = self.source.random()
        if name == "Authorization" and kind < 0.2:
            return b"Bearer " + self.source.choice(self.odd)
        if kind < 0.3:
            return self.source.choice(NASTY)
        if kind < 0.4:
            return PLAUSIBLE[name]
        return hostile_value(name, self.source)

    def _ordinary(self, method: str) -> dict[str, bytes]:
        source = self.source
        address = f"10.1.{source.randrange(ADDRESSES // 250)}.{source.randrange(1, 251)}"
        headers = {
            "Host": b"localhost",
            "X-Forwarded-For": address.encode(),
            "Authorization": b"Bearer " + source.choice(self.tokens),
        }
        if method == "POST":
            headers |= {"Content-Type": b"application/json", "Content-Length": b"15"}
        if method == "OPTIONS":
            headers |= {
                "Origin": b"https://app.example.com",
                "Access-Control-Request-Method": b"GET",
            }
        return headers


def bombard(port: int, attempts: Attempts, requests: int, result: Result) -> None:
    """Send so many requests, as one caller."""
    waiting, connection = iter(attempts), Connection(port)
    left = requests
    while left:
        batch = [next(waiting) for _ in range(min(left, PIPELINED))]
        left -= len(batch)
        together = [one for one in batch if not one.alone]
        for one in batch:
            if one.alone:
                note(result, one, Connection(port).last(one))
        while together:
            statuses = connection.pipelined(together)
            for one, status in zip(together, statuses, strict=False):
                note(result, one, status)
            # After a connection was closed on one of them, the others are sent again.
            together = together[len(statuses) :]
    connection.close()


def note(result: Result, sent: Sent, status: int | NoAnswer) -> None:
    """Count an answer, by the header that was tried."""
    if isinstance(status, NoAnswer):
        result.answers[sent.header, status.value] += 1
        return
    result.answers[sent.header, f"{status // 100}xx"] += 1
    if status >= 500:
        result.failed.append(f"{status} {sent.method} {sent.path} {sent.headers!r}"[:1000])


# -- what is looked at ------------------------------------------------------------


def workers_of(site: Site) -> list[int]:
    """The processes that serve."""
    pid = site.server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children] if site.kind == "gunicorn" else [pid]


def resident(pids: Sequence[int]) -> list[float]:
    """MiB that each process holds."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return [int(text.split("VmRSS:")[1].split()[0]) / 1024 for text in texts]


def ordinary_answers(site: Site) -> list[tuple[int, str, bytes]]:
    """What the site says to callers who mean well, and to some who do not."""
    preflight = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    asked = [
        site.get("/health"),
        site.get("/api/users/me", site.hobby),
        site.get("/api/users/me", {"Authorization": f"Bearer {site.token(sub='calm')}"}),
        site.get("/api/users/me", {"X-API-Key": "x"}),
        site.get("/api/users/me"),
        site.get("/api/nowhere", site.hobby),
        site.get("/health", {"Origin": "https://evil.example"}),
        site.call("OPTIONS", "/api/orders", preflight),
    ]
    own_id = re.compile(rb'"requestId": "[^"]*"')
    return [
        (answer.status, answer.headers.get("Content-Type", ""), own_id.sub(b"", answer.data))
        for answer in asked
    ]


# Lines of the site begin with a level; gunicorn's own with a date, or as the tests say.
_BEGINS = re.compile(rb"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)[: ]|\[20\d\d-|worker=|$")
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


def broken_lines(log: bytes) -> list[bytes]:
    """Lines of a log that begin as none does, or hold control characters."""
    lines = log.split(b"\n")
    return [line for line in lines if not _BEGINS.match(line) or _CONTROL.search(line)]


def fuzz(site: Site, requests: int, seed: int) -> Result:
    """Bombard a served site and look at what becomes of it."""
    result = Result(site.kind)
    before = ordinary_answers(site)
    pids = workers_of(site)
    result.memory.append((0, resident(pids)))
    attempts = [Attempts(site.demo, seed * THREADS + number) for number in range(THREADS)]
    share = requests // LOOKS // THREADS
    began = time.monotonic()
    for look in range(1, LOOKS + 1):
        with ThreadPoolExecutor(THREADS) as pool:
            sent = [pool.submit(bombard, site.server.port, one, share, result) for one in attempts]
            for one in sent:
                one.result()
        result.memory.append((look * share * THREADS, resident(pids)))
        progress(f"{site.kind}: {result.memory[-1][0]:,} requests")
    result.seconds = time.monotonic() - began
    result.same = ordinary_answers(site) == before and workers_of(site) == pids
    wrong = broken_lines(site.server.process.log_path.read_bytes())
    result.broken_lines = len(wrong)
    result.failed += [f"log: {line[:300]!r}" for line in wrong[:5]]
    return result


# -- what is printed --------------------------------------------------------------

ENDINGS = ("2xx", "3xx", "4xx", "5xx", NoAnswer.SERVER.value, NoAnswer.CLOSED.value)


def tables(result: Result) -> list[Table]:
    """What was answered, and what the workers held."""
    rows = [[header, *(result.answers[header, end] for end in ENDINGS)] for header in HEADERS]
    sums = [sum(row[column] for row in rows) for column in range(1, len(ENDINGS) + 1)]  # type: ignore[misc]
    answered = Table(
        f"{result.kind}: answers by header",
        f"{sum(sums):,} requests in {result.seconds:.0f} s; 501: the server's own, of a transfer "
        "coding; none: it hung up.",
        ("header", *ENDINGS),
        [*rows, ["all", *sums]],
    )
    looks = [[f"{sent:,}", *(f"{one:.1f}" for one in held)] for sent, held in result.memory]
    numbered = [f"worker {number}" for number, _ in enumerate(result.memory[0][1], 1)]
    held = Table(
        f"{result.kind}: memory",
        f"MiB resident after so many requests; {result.grew:+.1f} MiB in the second half.",
        ("requests", *numbered),
        looks,
    )
    return [answered, held]


def report(result: Result, *, markdown: bool) -> None:
    """Print it all."""
    for table in tables(result):
        say(table.markdown() if markdown else table.text())
    for line in result.failed[:20]:
        say(line)
    say(f"{result.kind}: answers at the end as at the start: {'yes' if result.same else 'NO'}; ")
    say(f"broken log lines: {result.broken_lines}; {'good' if result.good else 'NOT GOOD'}\n")


def run(kind: str, requests: int, seed: int, *, control: bool = False) -> Result:
    """One server, from start to stop; as a control, without the middleware."""
    with tempfile.TemporaryDirectory() as folder, redis_server() as redis:
        template = make_template(Path(folder))
        own = Path(folder) / "served"
        own.mkdir()
        # Django gives every ASGI request a thread; what malloc keeps for each is not growth.
        demo = prepared(template, own, f"{redis.base_url}/0").with_env(MALLOC_ARENA_MAX="1")
        demo = demo.with_env(APIGUARD_ENABLED="false") if control else demo
        with serving(kind, demo, **SERVERS[kind]) as site:
            return fuzz(site, requests, seed)


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="for each server")
    parser.add_argument("--server", choices=SERVERS, help="only this one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="without the middleware")
    parser.add_argument("--markdown", action="store_true")
    asked = parser.parse_args()
    results = []
    for kind in [asked.server] if asked.server else SERVERS:
        results.append(run(kind, asked.requests, asked.seed, control=asked.control))
        report(results[-1], markdown=asked.markdown)
    sys.exit(0 if all(result.good for result in results) else 1)


if __name__ == "__main__":
    main()
