"""What metrics cost a request: the middleware in this process, with the setting on and off.

    python -m benchmarks.metrics

In turns, once with the numbers in memory and once in files, as several processes share them
(``PROMETHEUS_MULTIPROC_DIR``).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.settings_cost import compare
from benchmarks.tables import Table, progress, say
from tests.servers import clean_environment

CHECKOUT = Path(__file__).resolve().parents[1]
ROUNDS, REQUESTS = 60, 200


def run_child(folder: str, environment: dict[str, str]) -> dict[str, float]:
    """The figures of a process of its own, on a database in ``folder``."""
    name = "files" if environment else "memory"
    base = {
        "TEST_DATABASE_URL": f"sqlite:///{folder}/{name}.sqlite3",
        "DJANGO_SETTINGS_MODULE": "project.settings_test",
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.metrics", "measure"],
        cwd=CHECKOUT,
        env=clean_environment(base | environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure() -> dict[str, float]:
    """Microseconds of a request through the middleware, without and with metrics."""
    from django.core.management import call_command

    from apiguard.models import ApiKey, Client, Limit, Route, Tier

    call_command("migrate", verbosity=0)
    tier = Tier.objects.create(slug="t", name="T")
    Limit.objects.create(tier=tier, name="l", amount=1_000_000, period=60)
    Route.objects.create(name="api", path_prefix="/api/", mode="enforce", access="credentials")
    _key, text = ApiKey.objects.issue(Client.objects.create(slug="a", name="A", tier=tier), "k")
    age = {"POLICY_MAX_AGE": 1.0}
    off, on = compare(
        text,
        {"METRICS": False, **age},
        {"METRICS": True, **age},
        requests=REQUESTS,
        rounds=ROUNDS,
    )
    pairs = zip(off, on, strict=True)
    return {
        "without": min(off),
        "with": min(on),
        # Of neighbours in time, which a busy machine slows down alike.
        "added": statistics.median(more - less for less, more in pairs),
    }


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory(prefix="apiguard-metrics-") as folder:
        shared = f"{folder}/shared"
        os.mkdir(shared)  # noqa: PTH102 - a name for the environment
        for where, environment in (
            ("in memory", {}),
            ("in files, for several processes", {"PROMETHEUS_MULTIPROC_DIR": shared}),
        ):
            progress(f"the cost of a request, numbers {where}")
            figures = run_child(folder, environment)
            rows.append([where, *(f"{figures[name]:.1f}" for name in ("without", "with", "added"))])
    say(
        Table(
            "Cost of metrics",
            f"{ROUNDS} rounds of {REQUESTS} requests through the middleware, in turns: the fastest "
            "without and with metrics, and the median of what was added.",
            ["numbers", "µs without", "µs with", "µs added"],
            rows,
        ).text()
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        import django

        django.setup()
        print(json.dumps(measure()))  # noqa: T201 - its answer
    else:
        main()
