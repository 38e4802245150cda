"""Statements on random edits, held against what random requests find before and after.

    python -m benchmarks.edit_statements [--edits 500] [--requests 200] [--seed 1]

Prints how many openings requests found, how many of them no statement was about
(none may be), and how many edits stated an opening that no request found: the
requests are few, so that most of these are openings all the same. Exits with 1
if an opening goes without a statement.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import django

from benchmarks.tables import say


def main() -> int:
    """Run the edits and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--edits", type=int, default=500)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--alarms", action="store_true", help="print what no request found")
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings_test")
    django.setup()
    from tests.policy.consequences.random_policies import check_edits

    started = time.monotonic()
    report = check_edits(given.edits, given.requests, given.seed)
    say(f"{report.summary} ({time.monotonic() - started:.0f} s)")
    for missed in report.missed[:20]:
        say(f"without a statement: {missed}")
    if given.alarms:
        for alarm in report.alarms:
            say(f"no request found: {alarm}")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
