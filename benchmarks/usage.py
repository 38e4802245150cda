"""What counting usage costs: a request with and without, and eight processes that flush at once.

    python -m benchmarks.usage

The cost is that of the whole middleware in this process, in turns with the setting on and
off. The processes add to the same rows, each in another order, in PostgreSQL and in SQLite.
Exit status 1 if a flush lost requests or a row holds a wrong number.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from benchmarks.settings_cost import compare
from benchmarks.tables import Table, progress, say
from tests.servers import clean_environment
from tests.stores import ServerError, postgres_database, postgres_server

CHECKOUT = Path(__file__).resolve().parents[1]
PROCESSES, FLUSHES, ENTRIES = 8, 5, 2_000
ROUNDS, REQUESTS = 60, 200


def run_child(url: str, *arguments: str) -> subprocess.Popen[str]:
    """Start this module in a process of its own, on the database at ``url``."""
    environment = clean_environment(
        {"TEST_DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "project.settings_test"}
    )
    return subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "benchmarks.usage", *arguments],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer_of(child: subprocess.Popen[str]) -> Any:
    """What a child printed as its last line."""
    out, _ = child.communicate()
    if child.returncode:
        raise SystemExit(f"A process of the benchmark ended with status {child.returncode}.")
    return json.loads(out.splitlines()[-1])


# -- in a process of its own -------------------------------------------------------------


def migrate() -> object:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    return {}


def flush() -> dict[str, Any]:
    """Flush as often as the others do, all at the same time; the figures of this process."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from apiguard.telemetry.usage import UsageRecorder

    recorder, durations, statements = UsageRecorder(), [], 0
    keys = list(range(1, ENTRIES + 1))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for _flush in range(FLUSHES):
        random.shuffle(keys)
        for key_pk in keys:
            recorder.record(1, key_pk % 100 + 1, key_pk, "admitted", True)
        with CaptureQueriesContext(connection) as queries:
            began = time.perf_counter()
            recorder.flush()
            durations.append(time.perf_counter() - began)
        statements = sum("INSERT INTO" in query["sql"] for query in queries.captured_queries)
    return {"dropped": recorder.dropped, "seconds": durations, "statements": statements}


def count() -> dict[str, int]:
    from django.db.models import Max, Min, Sum

    from apiguard.models import Usage

    return Usage.objects.aggregate(
        total=Sum("requests"), least=Min("requests"), most=Max("requests")
    )


def cost() -> dict[str, Any]:
    """Microseconds of a request through the middleware, without and with usage."""
    from apiguard.models import ApiKey, Client, Route
    from apiguard.telemetry.usage import usage

    migrate()
    Route.objects.create(name="api", path_prefix="/api/", mode="enforce", access="credentials")
    _key, text = ApiKey.objects.issue(Client.objects.create(slug="acme", name="Acme"), "k")
    off, on = compare(
        text,
        {"USAGE_KEEP_DAYS": 0},
        {"USAGE_KEEP_DAYS": 90},
        requests=REQUESTS,
        rounds=ROUNDS,
    )
    began = time.perf_counter()
    for _ in range(100_000):
        usage.record(1, 2, 3, "admitted", True)
    alone = (time.perf_counter() - began) * 10
    return {
        "without": statistics.median(off),
        "with": statistics.median(on),
        # Of neighbours in time, which a busy machine slows down alike.
        "ratio": statistics.median(more / less for less, more in zip(off, on, strict=True)),
        "alone": alone,
    }


# -- in the process that prints ------------------------------------------------------------


def flush_at_once(url: str) -> dict[str, Any]:
    """Have all processes flush into the database at ``url``; their figures together."""
    answer_of(run_child(url, "migrate"))
    children = [run_child(url, "flush") for _ in range(PROCESSES)]
    pipes = [(child.stdin, child.stdout) for child in children if child.stdin and child.stdout]
    for _into, out in pipes:
        while out.readline().strip() != "ready":
            pass
    for into, _out in pipes:
        into.write("go\n")
        into.flush()
    answers = [answer_of(child) for child in children]
    counted = answer_of(run_child(url, "count"))
    seconds = [one for answer in answers for one in answer["seconds"]]
    expected = PROCESSES * FLUSHES
    return {
        "dropped": sum(answer["dropped"] for answer in answers),
        "wrong": (counted["least"], counted["most"]) != (expected, expected),
        "statements": max(answer["statements"] for answer in answers),
        "median": statistics.median(seconds),
        "longest": max(seconds),
        "total": counted["total"],
    }


def main() -> None:
    stores: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="apiguard-usage-") as folder:
        progress("the cost of a request")
        costs = answer_of(run_child(f"sqlite:///{folder}/cost.sqlite3", "cost"))
        progress("eight processes into SQLite")
        stores["SQLite"] = flush_at_once(f"sqlite:///{folder}/flush.sqlite3")
    try:
        with postgres_server() as server:
            name = f"usage_{uuid.uuid4().hex[:8]}"
            with postgres_database(server.base_url, name) as url:
                progress("eight processes into PostgreSQL")
                stores["PostgreSQL"] = flush_at_once(url)
    except ServerError as error:
        progress(f"no PostgreSQL: {error}")
    say(
        Table(
            "Cost of a request",
            f"Medians of {ROUNDS} rounds of {REQUESTS} requests through the middleware, in turns.",
            ["", "µs", "ratio"],
            [
                ["without usage", f"{costs['without']:.1f}", "1.00"],
                ["with usage", f"{costs['with']:.1f}", f"{costs['ratio']:.3f}"],
                ["one entry by itself", f"{costs['alone']:.2f}", ""],
            ],
        ).text()
    )
    say(
        Table(
            "Flushes of eight processes at once",
            f"Each adds to the same {ENTRIES:,} rows in another order, {FLUSHES} times.",
            ["database", "statements", "median s", "longest s", "requests lost", "numbers"],
            [
                [
                    name,
                    one["statements"],
                    f"{one['median']:.2f}",
                    f"{one['longest']:.2f}",
                    one["dropped"],
                    "wrong" if one["wrong"] else "right",
                ]
                for name, one in stores.items()
            ],
        ).text()
    )
    if any(one["dropped"] or one["wrong"] for one in stores.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        import django

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings_test")
        django.setup()
        child = {"migrate": migrate, "flush": flush, "count": count, "cost": cost}[sys.argv[1]]
        sys.stdout.write(f"{json.dumps(child())}\n")
