"""How much longer the suites of existing projects take with apiguard in them.

    python -m benchmarks.existing_projects [--rounds N]

The four projects of ``tests/existing`` run their own tests untouched, with the README's
lines and no route, observed, and enforced; the modes take turns. The seconds are those that
Django prints behind "Ran … tests in", so that importing and making tables are no part of
them. A suite may take 1.1 times as long as untouched.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.tables import Table, progress, say
from tests.test_existing_projects import MODES, PROJECTS, run

MOST = 1.1


def seconds_of(name: str, mode: str) -> float:
    """Seconds of one run of a suite.

    Raises:
        SystemExit: some of its tests failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), name, mode)
    found = re.search(r"Ran \d+ tests? in ([\d.]+)s", result.output)
    if result.failed or found is None:
        raise SystemExit(f"{name}, {mode}: its tests fail.\n{result.output}")
    return float(found[1])


def measure(rounds: int) -> dict[tuple[str, str], list[float]]:
    """Seconds of every run, by project and mode."""
    took: dict[tuple[str, str], list[float]] = {(p, m): [] for p in PROJECTS for m in MODES}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        for name, mode in random.sample(list(took), len(took)):
            took[name, mode].append(seconds_of(name, mode))
    return took


def table(took: dict[tuple[str, str], list[float]]) -> Table:
    """Medians, and how they compare with the untouched suite."""
    middle = {key: statistics.median(values) for key, values in took.items()}
    rows = [
        [name, f"{middle[name, 'untouched']:.2f}"]
        + [f"{middle[name, mode] / middle[name, 'untouched']:.2f}" for mode in MODES[1:]]
        for name in PROJECTS
    ]
    note = f"Seconds of a suite untouched, and how many times as long it takes; {MOST} is aimed at."
    return Table("Suites of existing projects", note, ["project", *MODES], rows)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time the suites of existing projects.")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    say(table(measure(parser.parse_args().rounds)).markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
