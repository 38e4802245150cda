"""What other requests wait while policy changes once a second, among few rows and many.

    python -m benchmarks.reloads [--sizes 0 10000 50000] [--seconds 12] [--workers 2]

Brings a PostgreSQL of its own and serves the demonstration with gunicorn. A
client that nothing changes for calls it without pause, while another process
changes one row a second: a limit, an origin, an override or a key of somebody
else. ``publish`` makes workers read and compile everything instead, every five
seconds. With 50,000 origins there are 20,000 clients with an override each.

The CPU of a worker is what the system counted for it, less what its requests
took where nothing changed. The build alone is measured in this process. What a
machine does beside this shows where nothing changes: a request that waits for a
reload waits after every change, and so counts in the median of the longest.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.propagation import django_on
from benchmarks.tables import Table, progress, say
from tests.server.load import Answer, Call, many_workers, stream
from tests.server.outage import site_on_postgres

THREADS, PAUSE = 3, 0.02
OVERRIDES = {50_000: 20_000}
BATCH = 2_000
# What a request may wait at most while one row changes.
MOST_SECONDS = 0.1
TICKS = os.sysconf("SC_CLK_TCK")
# An amount that nobody reaches; what is added to it numbers the changes.
PLENTY = 1_000_000
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Phase:
    """One kind of change: what requests took meanwhile, and the CPU seconds of all workers.

    Attributes:
        seconds: of all requests.
        longest: of the requests after each change.
    """

    change: str
    seconds: Sequence[float]
    longest: Sequence[float]
    failed: int
    cpu: float


def fill(origins: int, overrides: int) -> None:
    """Put so many origins into the demonstration's policy, and so many clients with an override."""
    from apiguard.models import AllowedOrigin, Client, CorsPolicy, Limit, LimitOverride

    policy, limit = CorsPolicy.objects.earliest("pk"), Limit.objects.earliest("pk")
    for some in _batches(origins):
        AllowedOrigin.objects.bulk_create(
            AllowedOrigin(policy=policy, pattern=f"https://shop-{n}.example") for n in some
        )
    for some in _batches(overrides):
        clients = Client.objects.bulk_create(
            Client(slug=f"crowd-{n}", name=f"Crowd {n}", tier=limit.tier) for n in some
        )
        LimitOverride.objects.bulk_create(
            LimitOverride(client=client, limit=limit, amount=PLENTY) for client in clients
        )


def _batches(count: int) -> Iterator[range]:
    return (range(at, min(at + BATCH, count)) for at in range(0, count, BATCH))


def changes() -> dict[str, Callable[[], Any]]:
    """Kind of change -> how to make one; none touches the client that calls."""
    from django.db import transaction

    from apiguard.models import (
        AllowedOrigin,
        ApiKey,
        Client,
        CorsPolicy,
        Limit,
        LimitOverride,
        Tier,
        everything,
    )
    from apiguard.models.state import publish

    tier, _ = Tier.objects.get_or_create(slug="others", defaults={"name": "Others"})
    limit, _ = Limit.objects.get_or_create(
        tier=tier, name="m", defaults={"amount": PLENTY, "period": 60}
    )
    other, _ = Client.objects.get_or_create(slug="other", defaults={"name": "Other", "tier": tier})
    override, _ = LimitOverride.objects.get_or_create(
        client=other, limit=limit, defaults={"amount": PLENTY}
    )
    origin, _ = AllowedOrigin.objects.get_or_create(
        policy=CorsPolicy.objects.earliest("pk"), pattern="https://changing.example"
    )
    key, _ = ApiKey.objects.issue(other, "changing")

    def set_(row: Any, column: str, value: Any) -> None:
        setattr(row, column, value)
        row.save()

    def publish_all() -> None:
        with transaction.atomic():
            publish(everything)

    return {
        "nothing": lambda: None,
        "a limit": lambda: set_(limit, "amount", PLENTY + next(_numbers)),
        "an origin": lambda: set_(origin, "pattern", f"https://changing-{next(_numbers)}.example"),
        "an override": lambda: set_(override, "amount", PLENTY + next(_numbers)),
        "a key": lambda: set_(key, "name", f"changing-{next(_numbers)}"),
        "publish": publish_all,
    }


def measure(server: Any, call: Call, kind: str, make: Callable[[], Any], seconds: float) -> Phase:
    """Make changes of one kind for so long; what the others' requests waited meanwhile."""
    answers: list[Answer] = []
    lock = threading.Lock()

    def note(answer: Answer) -> None:
        with lock:
            answers.append(answer)

    pause = 5.0 if kind == "publish" else 1.0
    made: list[float] = []
    with stream(server, lambda: call, THREADS, PAUSE, note):
        time.sleep(0.5)  # So that every worker is among those that answered.
        begun, before = time.monotonic(), _cpu(answers)
        while (now := time.monotonic()) - begun < seconds:
            make()
            made.append(now)
            time.sleep(max(0.0, pause - (time.monotonic() - now)))
        cpu = _cpu(answers) - before
    counted = [answer for answer in answers if answer.sent >= begun]
    return Phase(
        change=kind,
        seconds=[answer.seconds for answer in counted],
        longest=[
            max((a.seconds for a in counted if at <= a.sent < at + pause), default=0.0)
            for at in made
        ],
        failed=sum(answer.status != 200 for answer in counted),
        cpu=cpu,
    )


def _cpu(answers: Sequence[Answer]) -> float:
    """CPU seconds of the workers that answered, so far."""
    total = 0
    for worker in {answer.worker for answer in list(answers)} - {""}:
        fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def build_seconds(makers: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Kind of change -> CPU seconds of the build that follows it; the full one by ``publish``."""
    from apiguard.policy import build, load

    held = build.full().snapshot
    found = {}
    for kind, make in makers.items():
        if kind == "nothing":
            continue
        make()
        state, begun = load.state(), time.thread_time()
        held = build.incremental(held, state).snapshot
        found[kind] = time.thread_time() - begun
    return found


def run(
    sizes: Sequence[int], kinds: Sequence[str], seconds: float, workers: int
) -> list[tuple[int, Phase, Phase, float]]:
    """Measure every size and kind: (origins, phase, the phase without changes, build seconds)."""
    results = []
    with ExitStack() as stack:
        demo, _ = stack.enter_context(site_on_postgres())
        stack.enter_context(django_on(demo))
        call, there = Call("/api/plain", {"X-API-Key": demo.api_keys["acme"]}), 0
        for size in sorted(sizes):
            progress(f"{size} origins")
            fill_more(there, size)
            there = size
            makers = changes()
            alone = build_seconds(makers)
            with many_workers(demo.env, workers=workers) as server:
                measure(server, call, "nothing", makers["nothing"], 3)  # The first requests.
                idle = measure(server, call, "nothing", makers["nothing"], seconds)
                results.append((size, idle, idle, 0.0))
                for kind, make in makers.items():
                    if kind != "nothing" and (not kinds or kind in kinds):
                        progress(f"{size} origins, {kind}")
                        phase = measure(server, call, kind, make, seconds)
                        results.append((size, phase, idle, alone[kind]))
    return results


def fill_more(there: int, size: int) -> None:
    """Go from one size to the next."""
    from apiguard.models import AllowedOrigin

    if size > there:
        AllowedOrigin.objects.filter(pattern__startswith="https://shop-").delete()
        fill(size, OVERRIDES.get(size, 0))


def table(results: Sequence[tuple[int, Phase, Phase, float]], workers: int) -> Table:
    """All figures."""
    rows = []
    for size, phase, idle, alone in results:
        of_requests = idle.cpu / len(idle.seconds) * len(phase.seconds)
        cpu = max(0.0, phase.cpu - of_requests) / len(phase.longest) / workers
        changed = phase.change != "nothing"
        rows.append(
            (
                f"{size:,}",
                phase.change,
                f"{len(phase.seconds):,}",
                *(f"{value * 1000:.0f}" for value in _figures(phase)),
                phase.failed,
                f"{cpu * 1000:.0f}" if changed else "",
                f"{alone * 1000:.1f}" if changed else "",
            )
        )
    head = (
        "origins",
        "change",
        "requests",
        "p50",
        "p99",
        "typical",
        "longest",
        "failed",
        "CPU",
        "build",
    )
    note = (
        "Milliseconds. Of the longest request after each change the median and the maximum; "
        "CPU of one worker for one change, and of the build alone."
    )
    return Table("Requests while policy changes once a second", note, head, rows)


def _figures(phase: Phase) -> tuple[float, ...]:
    cut = quantiles(phase.seconds, n=100)
    return cut[49], cut[98], median(phase.longest), max(phase.longest)


def main(arguments: Sequence[str]) -> int:
    """Run it; 1 if a request waited too long for the change of one row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 10_000, 50_000])
    parser.add_argument("--kinds", nargs="+", default=[], help='such as "a limit"; all of them')
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    results = run(given.sizes, given.kinds, given.seconds, given.workers)
    say(table(results, given.workers).text())
    late = [
        f"{size:,} origins, {phase.change}: {max(phase.longest):.3f} s"
        for size, phase, _, _ in results
        if phase.change not in ("publish", "nothing") and max(phase.longest) > MOST_SECONDS
    ]
    for line in late:
        say(f"NOT KEPT: a request waits at most {MOST_SECONDS:g} s; {line}")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
