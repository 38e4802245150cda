"""How long a change takes until every worker enforces it, and what happens without a database.

    python -m benchmarks.propagation [--changes 200] [--workers 4] [--json FILE]
    python -m benchmarks.propagation --away [--seconds 30]

Brings a PostgreSQL of its own and serves the demonstration with gunicorn. A
steady stream of requests keeps all workers busy; changes of every kind are
made by another process, one after the other, each at a moment of its own. The
delay of a worker is the time from the commit until its first answer by the
new policy has arrived. From then on the worker must not go back.

Every answer of ``/health`` shows two headers and a limit that are changed in
one transaction: an answer that shows an old one beside a new one was judged by
two revisions.

``--away`` stops the database under load instead, first by SIGSTOP, so that
everything that asks it hangs, then by an immediate shutdown.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from benchmarks.tables import Table, progress, say
from tests.demo_site import DemoSite
from tests.server.load import NO_ANSWER, Answer, Call, many_workers, stream
from tests.server.outage import OUTAGES, Seen, endure, site_on_postgres, statuses

if TYPE_CHECKING:
    from benchmarks.propagation_changes import Change

MAX_AGE = 1.0
THREADS, PAUSE = 6, 0.015
# A change that nobody enforces by then is lost.
PATIENCE = 15.0
# Of one reload; what it really takes is measured and said.
RELOAD = 0.5


@dataclass(slots=True)
class Watch:
    """What the stream is to ask, and what it was answered."""

    workers: int
    call: Call = field(default_factory=lambda: Call("/health"))
    answers: list[Answer] = field(default_factory=list)
    mixed: int = 0
    checked: int = 0
    failed: int = 0
    news: threading.Condition = field(default_factory=threading.Condition)

    def note(self, answer: Answer) -> None:
        """An answer came."""
        from benchmarks.propagation_changes import HEALTH, is_mixed

        with self.news:
            self.failed += answer.status in (NO_ANSWER, 500, 503)
            if answer.call is HEALTH and answer.status == 200:
                self.checked += 1
                self.mixed += is_mixed(answer)
            self.answers.append(answer)
            self.news.notify_all()

    def ask(self, call: Call) -> None:
        """Have the stream send this call from now on."""
        with self.news:
            self.call, self.answers = call, []

    def until_all(self, fits: Any) -> dict[str, float]:
        """Worker -> when its first answer that fits had arrived.

        Raises:
            SystemExit: some worker did not give one.
        """
        deadline = time.monotonic() + PATIENCE
        with self.news:
            while True:
                first: dict[str, float] = {}
                for answer in self.answers:
                    if answer.call is self.call and fits(answer):
                        first.setdefault(answer.worker, answer.received)
                if len(first) >= self.workers:
                    return first
                if not self.news.wait(deadline - time.monotonic()):
                    raise SystemExit(f"Only {len(first)} workers answer {self.call}.")


@dataclass(frozen=True, slots=True)
class Result:
    """One change: seconds until it was in force, by worker; answers by the policy before."""

    kind: str
    delays: dict[str, float]
    relapses: int


def measure(watch: Watch, change: Change) -> Result:
    """Make a change and see it in every worker."""
    # Workers look at moments of their own; changes must not keep time with them.
    moment = time.monotonic() + random.uniform(0, MAX_AGE)  # noqa: S311 - no secret
    watch.ask(change.call)
    watch.until_all(lambda answer: not change.is_new(answer))
    time.sleep(max(0.0, moment - time.monotonic()))
    change.make()
    committed = time.monotonic()
    first = watch.until_all(change.is_new)
    with watch.news:
        relapses = sum(
            answer.worker in first
            and answer.sent > first[answer.worker]
            and not change.is_new(answer)
            for answer in watch.answers
        )
    return Result(change.kind, {w: max(0.0, at - committed) for w, at in first.items()}, relapses)


@contextmanager
def django_on(demo: DemoSite) -> Iterator[None]:
    """Models of this process on the demonstration's database."""
    os.environ |= {**demo.env, "DJANGO_SETTINGS_MODULE": "project.settings"}
    os.environ["SECRETS_FILE"] = os.devnull
    import django
    from django.db import connections

    django.setup()
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        connections.close_all()


def propagate(count: int, workers: int) -> tuple[list[Result], Watch, float]:
    """Make ``count`` changes; what came of each, what was seen, and seconds of one reload."""
    results: list[Result] = []
    watch = Watch(workers)
    with ExitStack() as stack:
        demo, _ = stack.enter_context(site_on_postgres())
        stack.enter_context(django_on(demo))
        from benchmarks.propagation_changes import World

        world = World(demo.api_keys["acme"], demo.jwt)
        server = stack.enter_context(many_workers(demo.env, workers=workers))
        stack.enter_context(stream(server, lambda: watch.call, THREADS, PAUSE, watch.note))
        for number, change in enumerate(islice(world.changes(), count), 1):
            results.append(measure(watch, change))
            if number % 20 == 0:
                progress(f"{number} of {count} changes")
        reload = _seconds_of_a_reload()
    return results, watch, reload


def _seconds_of_a_reload() -> float:
    from apiguard.policy import build

    begun = time.perf_counter()
    build.full()
    return time.perf_counter() - begun


def _figures(seconds: Sequence[float]) -> dict[str, float]:
    p95 = quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
    figures = {"min": min(seconds), "median": median(seconds), "p95": p95, "max": max(seconds)}
    return {name: round(value, 3) for name, value in figures.items()}


def summary(results: Sequence[Result], watch: Watch, reload: float) -> dict[str, Any]:
    """All figures, and which promises they keep."""
    by_worker: dict[str, list[float]] = defaultdict(list)
    for result in results:
        for worker, delay in result.delays.items():
            by_worker[worker].append(delay)
    every = [delay for delays in by_worker.values() for delay in delays]
    overall = _figures(every)
    return {
        "changes": len(results),
        "kinds": dict(Counter(result.kind for result in results)),
        "workers": {worker: _figures(delays) for worker, delays in sorted(by_worker.items())},
        "all": overall,
        "reload": round(reload, 3),
        "checked": watch.checked,
        "mixed": watch.mixed,
        "relapses": sum(result.relapses for result in results),
        "failed": watch.failed,
        "promises": {
            "in force within 2 x POLICY_MAX_AGE and a reload": overall["max"]
            <= 2 * MAX_AGE + max(reload, RELOAD),
            "median below 0.6 x POLICY_MAX_AGE": overall["median"] < 0.6 * MAX_AGE,
            "no request judged by two revisions": watch.checked > 0 and not watch.mixed,
            "no worker goes back": not any(result.relapses for result in results),
            "no request failed": not watch.failed,
        },
    }


def show(figures: dict[str, Any]) -> None:
    """Print them."""
    names = ("min", "median", "p95", "max")
    rows = [[worker, *one.values()] for worker, one in figures["workers"].items()]
    note = (
        f"{figures['changes']} changes of {len(figures['kinds'])} kinds, seconds from the commit; "
        f"one reload takes {figures['reload']:.3f} s."
    )
    say(Table("Until it is in force", note, ("worker", *names), rows).text())
    say(f"all workers: {figures['all']}")
    say(f"{figures['checked']} answers checked for two revisions at once: {figures['mixed']} mixed")


def away(seconds: float) -> dict[str, Any]:
    """Stop the database for so long, in both ways; what was answered."""
    figures: dict[str, Any] = {"promises": {}}
    for name, outage in OUTAGES.items():
        progress(f"the database is {name} for {seconds:g} s")
        with site_on_postgres() as (demo, postgres):
            seen = endure(demo, postgres, outage, seconds)
        figures[name] = _of_outage(seen)
        known, unknown = figures[name]["known"], figures[name]["strangers while away"]
        figures["promises"] |= {
            f"{name}: known clients are served": set(known) == {200},
            f"{name}: strangers are told to come back": set(unknown) == {503},
            f"{name}: it recovers by itself": seen.has_recovered(4),
        }
    return figures


def _of_outage(seen: Seen) -> dict[str, Any]:
    during = seen.during(seen.unknown)
    return {
        "known": statuses(seen.known),
        "known, longest wait": round(max(answer.seconds for answer in seen.known), 3),
        "known, longer than 0.5 s": sum(answer.seconds > 0.5 for answer in seen.known),
        "strangers while away": statuses(during),
        "strangers, longest wait": round(max(answer.seconds for answer in during), 3),
        "strangers, longer than 0.5 s": sum(answer.seconds > 0.5 for answer in during),
        "retry_after": sorted({a.headers.get("Retry-After", "") for a in during}),
        "last 503 after the end": round(seen.recovered_after(), 3),
    }


def _broken(figures: dict[str, Any]) -> int:
    broken = [promise for promise, kept in figures["promises"].items() if not kept]
    for promise in broken:
        say(f"NOT KEPT: {promise}")
    return 1 if broken else 0


def main(arguments: Sequence[str]) -> int:
    """Run it; 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--away", action="store_true")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    if given.away:
        figures = away(given.seconds)
        say(json.dumps(figures, indent=2))
    else:
        figures = summary(*propagate(given.changes, given.workers))
        show(figures)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2))
    return _broken(figures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
