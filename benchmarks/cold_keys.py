"""How long a worker that has just started lets good keys wait, while unknown ones flood it.

    python -m benchmarks.cold_keys [--rounds 5]

Brings a PostgreSQL of its own. Each round starts a server (gunicorn with one worker and
64 threads; uvicorn) and opens 200 connections at once: 50 with good keys of which the
process knows none, 150 with well-formed keys that nobody has. Exit status 1 if a good
key is refused or waits more than a second.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from statistics import median

from benchmarks.tables import Table, progress, say
from tests.server.cold_keys import KINDS, call_with_all, make_keys, serving
from tests.server.load import Answer
from tests.server.outage import site_on_postgres

# What a good key may wait at most.
MOST_SECONDS = 1.0


def run(rounds: int) -> dict[str, tuple[list[Answer], list[Answer]]]:
    """Kind of server -> answers to good keys and to unknown ones, of all rounds."""
    found: dict[str, tuple[list[Answer], list[Answer]]] = {kind: ([], []) for kind in KINDS}
    with site_on_postgres() as (demo, _postgres):
        keys = make_keys(demo)
        for number in range(rounds):
            for kind in KINDS:
                progress(f"round {number + 1} of {rounds}, {kind}")
                with serving(kind, demo) as server:
                    for all_answers, answers in zip(
                        found[kind], call_with_all(server, keys), strict=True
                    ):
                        all_answers.extend(answers)
    return found


def _row(kind: str, keys: str, answers: Sequence[Answer]) -> tuple[object, ...]:
    statuses = Counter(answer.status for answer in answers)
    seconds = [answer.seconds for answer in answers]
    listed = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    return kind, keys, listed, f"{median(seconds) * 1000:.0f}", f"{max(seconds) * 1000:.0f}"


def main(arguments: Sequence[str]) -> int:
    """Run it; 1 if a good key was refused or waited too long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--rounds", type=int, default=5)
    found = run(parser.parse_args(arguments).rounds)
    rows = [
        _row(kind, keys, answers)
        for kind, both in found.items()
        for keys, answers in zip(("good", "unknown"), both, strict=True)
    ]
    note = "Answers to 200 connections at once, right after the start; milliseconds."
    say(Table("Cold keys", note, ("server", "keys", "answers", "median", "longest"), rows).text())
    late = [
        answer
        for good, _ in found.values()
        for answer in good
        if answer.status != 200 or answer.seconds > MOST_SECONDS
    ]
    if late:
        say(f"NOT KEPT: {len(late)} good keys were refused or waited more than a second.")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
