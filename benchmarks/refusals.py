"""What refused requests cost, and whether a customer's can be found in a flood of them.

    python -m benchmarks.refusals [--requests 100000] [--processes 8] [--seconds 8] [--json FILE]

Three parts, each in processes of ``benchmarks.refusals_worker``:

1. a flood of so many refused requests, of one caller and of 10,000 addresses, while ten
   clients are refused once each: how many of the ten can be found, what is written;
2. so many processes flood at once and flush into one database, SQLite and PostgreSQL, while
   an application writes rows of its own: deadlocks, lost rows, and the application's writes
   with refused requests kept and not kept;
3. a refused and an admitted request through the middleware, with refused requests kept and
   not kept, in turns; a figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.tables import Table, progress, say
from tests.scripted import migrate
from tests.servers import CHECKOUT, clean_environment
from tests.stores import postgres_database, postgres_server

ADDRESSES = 10_000
CLIENTS = 10
TIMEOUT = 600
OFF = {"APIGUARD_REFUSALS_KEEP_ROWS": "0"}


def environment(url: str) -> dict[str, str]:
    """Return the environment of a process of the reference site on this database."""
    return clean_environment(
        {
            "DATABASE_URL": url,
            "SECRET_KEY": "benchmark-secret-key-" * 3,
            "JWT_SECRET": "benchmark-jwt-secret-" * 3,
            "DJANGO_SETTINGS_MODULE": "project.settings",
        }
    )


def start(env: Mapping[str, str], *arguments: object) -> subprocess.Popen[str]:
    """Start a worker; it prints JSON when it ends."""
    command = [sys.executable, "-m", "benchmarks.refusals_worker", *map(str, arguments)]
    return subprocess.Popen(  # noqa: S603 - ours
        command,
        env=dict(env),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen[str]) -> Any:
    """Wait for a worker and return what it printed.

    Raises:
        RuntimeError: it failed; standard error says why.
    """
    out, _ = process.communicate(timeout=TIMEOUT)
    if process.returncode:
        raise RuntimeError("A worker failed.")
    return json.loads(out)


@contextmanager
def sqlite_site() -> Iterator[dict[str, str]]:
    """A migrated SQLite file."""
    with tempfile.TemporaryDirectory(prefix="apiguard-refusals-") as folder:
        env = environment(f"sqlite:///{Path(folder) / 'site.sqlite3'}")
        migrate(env["DATABASE_URL"])
        yield env


@contextmanager
def postgres_site(server_url: str) -> Iterator[dict[str, str]]:
    """A migrated PostgreSQL database."""
    with postgres_database(server_url, "refusals") as url:
        env = environment(url)
        migrate(env["DATABASE_URL"])
        yield env


def find(requests: int) -> list[dict[str, Any]]:
    """Flood one process, and look for the ten."""
    figures = []
    for addresses in (1, ADDRESSES):
        progress(f"a flood of {requests:,} from {addresses:,}")
        with sqlite_site() as env:
            figures.append(result(start(env, "find", requests, addresses, CLIENTS)))
    return figures


def flush(kind: str, env: Mapping[str, str], processes: int, seconds: float) -> dict[str, Any]:
    """Flood with several processes at once; the application writes beside them."""
    progress(f"{processes} processes flush into {kind}")
    writes = {}
    for name, settings in (("off", OFF), ("on", {})):
        floods = [start({**env, **settings}, "flood", seconds, ADDRESSES) for _ in range(processes)]
        application = start({**env, **OFF}, "application", seconds)
        flooded = [result(each) for each in floods]
        writes[name] = result(application)
    return {
        "database": kind,
        "refused": sum(each["refused"] for each in flooded),
        "lost": sum(each["lost"] for each in flooded),
        "rows": flooded[-1]["rows"],
        "counted": flooded[-1]["counted"],
        "writes": writes,
    }


def flush_everywhere(processes: int, seconds: float) -> list[dict[str, Any]]:
    """Run the second part on both databases; count the deadlocks of PostgreSQL."""
    figures = []
    with sqlite_site() as env:
        figures.append({**flush("SQLite", env, processes, seconds), "deadlocks": 0})
    with ExitStack() as stack:
        server = stack.enter_context(postgres_server())
        env = stack.enter_context(postgres_site(server.base_url))
        found = flush("PostgreSQL", env, processes, seconds)
        with psycopg.connect(env["DATABASE_URL"]) as connection:
            query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            (deadlocks,) = connection.execute(query).fetchone() or (0,)
        figures.append({**found, "deadlocks": deadlocks})
    return figures


def cost(rounds: int) -> dict[str, float]:
    """Return median microseconds of a request by kind and setting."""
    progress("what a request pays")
    with sqlite_site() as env:
        found: dict[str, float] = result(start(env, "cost", rounds))
        return found


# -- the tables -------------------------------------------------------------------


def found_table(figures: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of the first part."""
    head = ("flood", "refused", "seconds", "rows", "counted only", "found of 10", "bytes a row")
    rows = [
        [
            f"{each['addresses']:,} addresses" if each["addresses"] > 1 else "one caller",
            f"{each['refused']:,}",
            f"{each['seconds']:.1f}",
            each["rows"],
            f"{each['unkept']:,}",
            each["found"],
            round(each["bytes"] / max(1, each["rows"])),
        ]
        for each in figures
    ]
    note = "One process; at most 20 rows a second. Rows and counted ones are all that were refused."
    return Table("Ten clients in a flood", note, head, rows)


def flush_table(figures: Sequence[Mapping[str, Any]], processes: int) -> Table:
    """Return the table of the second part."""
    head = ("database", "refused", "rows", "lost", "deadlocks", "p99 off", "p99 on", "ratio")
    rows = []
    for each in figures:
        off, on = each["writes"]["off"]["p99"], each["writes"]["on"]["p99"]
        rows.append(
            [
                each["database"],
                f"{each['refused']:,}",
                each["rows"],
                each["lost"],
                each["deadlocks"],
                f"{off:.1f} ms",
                f"{on:.1f} ms",
                f"{on / off:.2f}",
            ]
        )
    note = (
        f"{processes} processes under a flood; an application commits a row every 5 ms. "
        "Off: the same flood, no refused request is kept."
    )
    return Table("Flushing at once", note, head, rows)


def cost_table(figures: Mapping[str, float]) -> Table:
    """Return the table of the third part."""
    rows = []
    for kind in ("admitted", "refused"):
        off, on = figures[f"{kind} off"], figures[f"{kind} on"]
        rows.append([kind, f"{off:.1f}", f"{on:.1f}", f"{on / off:.3f}"])
    note = "Microseconds in the middleware, refused requests not kept (off) and kept (on)."
    return Table("What a request pays", note, ("request", "off", "on", "ratio"), rows)


def main(arguments: Sequence[str]) -> int:
    """Run all parts; 1 if one of the ten was not found, a row was lost or a deadlock happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    found, costs = find(given.requests), cost(given.rounds)
    flushed = flush_everywhere(given.processes, given.seconds)
    for table in (found_table(found), flush_table(flushed, given.processes), cost_table(costs)):
        say(table.text())
    if given.json:
        figures = {"found": found, "flushed": flushed, "cost": costs}
        given.json.write_text(json.dumps(figures, indent=2))
    is_kept = all(each["found"] == CLIENTS for each in found) and not any(
        each["lost"] or each["deadlocks"] for each in flushed
    )
    if not is_kept:
        say("NOT KEPT: a client was not found, a row was lost or a deadlock happened")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
