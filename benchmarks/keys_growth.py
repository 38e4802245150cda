"""What a request costs as keys become many: two databases, two processes, in turns."""

from __future__ import annotations

import random
import statistics

from benchmarks.figures import Grown
from benchmarks.site.cases import GUARD_ALONE
from benchmarks.stage import Stage, acting, run
from benchmarks.tables import progress

CREDENTIAL = "apiguard-key"
BOUT = 25
# Name of the row -> whether every key is forgotten before it is used.
ROWS = {"keys, a warm one": False, "keys, a cold one": True}


def measure(stage: Stage, most: int, rounds: int) -> dict[str, Grown]:
    """Row -> sizes, and the microseconds of a request among one key and among ``most``."""
    sizes = {"one": 1, "many": most}
    environments = {
        name: stage.environment(GUARD_ALONE, stage.folder / f"{name}.sqlite3") for name in sizes
    }
    progress(f"growth: making {most:,} keys")
    texts = {
        "one": [stage.credentials[CREDENTIAL]["X-API-Key"]] * BOUT,
        "many": run(environments["many"], "benchmarks.many_keys", str(most)),
    }
    measured: dict[str, Grown] = {}
    with acting(environments, {name: ["{}"] for name in sizes}) as actors:
        for row, forget in ROWS.items():
            progress(f"growth: {row}, 1 to {most:,}")
            took: dict[str, list[int]] = {name: [] for name in sizes}
            for name, actor in actors.items():
                actor.ask("keys", texts=texts[name], forget=False)
            for _ in range(rounds):
                for name in random.sample(list(sizes), 2):
                    some = random.sample(texts[name], BOUT)
                    took[name] += actors[name].ask("keys", texts=some, forget=forget)
            measured[row] = _row(took, most)
    return measured


def _row(took: dict[str, list[int]], most: int) -> Grown:
    small, large = (statistics.median(took[name]) / 1000 for name in ("one", "many"))
    return Grown(1, most, small, large)
