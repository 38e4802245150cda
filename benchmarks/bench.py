"""``scripts/bench``: apiguard beside what it replaces, and what happens as policy grows.

    python -m benchmarks.bench [--quick] [--json FILE] [--markdown]

Brings a Redis of its own; databases are SQLite files in a temporary folder.
Progress goes to standard error, tables to standard output, all figures to a
JSON file. Exit status 0 whatever the figures say, 2 if it could not run.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from benchmarks import compare, floods, keys_growth
from benchmarks.figures import Figures, Flooded, Grown
from benchmarks.promises import judge
from benchmarks.report import tables
from benchmarks.site.cases import CASES, GUARD_ALONE
from benchmarks.stage import BenchmarkFailed, Stage, acting, set_up
from benchmarks.tables import progress, say
from tests.servers import ServerError
from tests.stores import redis_server

JSON_FILE = Path("build/bench.json")
# Module -> distribution of the peers.
PEERS = {
    "corsheaders": "django-cors-headers",
    "rest_framework_api_key": "djangorestframework-api-key",
    "rest_framework_simplejwt": "djangorestframework-simplejwt",
    "django_guid": "django-guid",
    "django_smart_ratelimit": "django-smart-ratelimit",
}
MEASURED_WITH = ("Django", "djangorestframework", "gunicorn", "redis", "django-redis")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done; ``most`` of what grows."""

    bouts: compare.Bouts
    rounds: int
    keys_rounds: int
    most: dict[str, int]
    flood_first: int
    flood_rounds: int
    served_seconds: float
    served_rounds: int


FULL = Size(
    bouts=compare.FULL,
    rounds=400,
    keys_rounds=150,
    most={"origins": 10_000, "routes": 1_000, "limits": 10**6, "keys": 10**6},
    # More than any bounded table of apiguard holds.
    flood_first=11_000,
    flood_rounds=120,
    served_seconds=2,
    served_rounds=12,
)
QUICK = Size(
    bouts=compare.QUICK,
    rounds=40,
    keys_rounds=10,
    most={"origins": 1_000, "routes": 100, "limits": 10**6, "keys": 20_000},
    flood_first=200,
    flood_rounds=10,
    served_seconds=0.5,
    served_rounds=1,
)


def measure(stage: Stage, size: Size) -> Figures:
    """Everything, one after the other; nothing else of ours runs meanwhile."""
    cases = compare.compare(stage, CASES, size.bouts)
    growth, flooded = alone(stage, size)
    growth |= keys_growth.measure(stage, size.most["keys"], size.keys_rounds)
    served = floods.served(stage, size.served_seconds, size.served_rounds)
    flooded |= {f"{name}, gunicorn": row for name, row in served.items()}
    return Figures(machine(), cases, growth, flooded)


def alone(stage: Stage, size: Size) -> tuple[dict[str, Grown], dict[str, Flooded]]:
    """What is measured in one process in which the guard stands before a plain view."""
    name = GUARD_ALONE.name
    most = {what: size.most[what] for what in ("origins", "routes", "limits")}
    with acting({name: stage.environment(GUARD_ALONE)}, {name: ["{}"]}) as actors:
        actor = actors[name]
        grown = actor.ask("growth", most=most, rounds=size.rounds)
        stage.empty()
        flooded = actor.ask(
            "floods",
            credentials=stage.credentials,
            first=size.flood_first,
            rounds=size.flood_rounds,
        )
    return (
        {row: Grown(**values) for row, values in grown.items()},
        {row: Flooded(**values) for row, values in flooded.items()},
    )


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    distributions = (*MEASURED_WITH, *PEERS.values())
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: version(name) for name in distributions},
    }


def missing() -> list[str]:
    """The peers' distributions that are not installed."""
    return [name for module, name in PEERS.items() if find_spec(module) is None]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """What a person typed."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure apiguard.")
    parser.add_argument("--quick", action="store_true", help="half a minute; rough figures")
    parser.add_argument(
        "--json", type=Path, default=JSON_FILE, metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--markdown", action="store_true", help="tables as the docs have them")
    return parser.parse_args(given)


def main() -> int:
    """Measure, print, write."""
    options = arguments()
    if absent := missing():
        say(f"Not installed: {', '.join(absent)}. pip install -r requirements-bench.txt")
        return 2
    try:
        with tempfile.TemporaryDirectory() as folder, redis_server() as server:
            progress("making the database")
            stage = set_up(Path(folder), f"{server.base_url}/0")
            figures = measure(stage, QUICK if options.quick else FULL)
    except (BenchmarkFailed, ServerError) as error:
        say(f"It could not be measured. {error}")
        return 2
    show(figures, markdown=options.markdown)
    write(figures, options.json)
    return 0


def show(figures: Figures, *, markdown: bool) -> None:
    """Tables, the promises last."""
    for table in tables(figures):
        say(table.markdown() if markdown else table.text())


def write(figures: Figures, file: Path) -> None:
    """All figures, and what became of each promise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    promises = [{**asdict(promise), "met": promise.met} for promise in judge(figures)]
    document = {**asdict(figures), "promises": promises}
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    progress(f"figures are in {file}")


if __name__ == "__main__":
    sys.exit(main())
