"""``apiguard import-throttle-rates``: the rates of other packages as limits in shadow mode.

Exit status 1 where a rate could not be carried over. Run again it makes nothing twice.
"""

from __future__ import annotations

from argparse import ArgumentParser

from ...models.url_patterns import read_urlconf
from ...transfer.throttles import decorators, drf, rows, smart_ratelimit
from ...transfer.throttles.found import Reading
from ._console import Console, Options, SubCommand
from ._import_report import ImportReport, add_dry_run, importing


def arguments(parser: ArgumentParser) -> None:
    """``[--tier SLUG] [--dry-run]``."""
    parser.add_argument(
        "--tier", default=rows.TIER, help=f"what the tiers' slugs begin with ({rows.TIER})"
    )
    add_dry_run(parser)


def run(console: Console, options: Options) -> None:
    """Print what was made, what counts otherwise, and what was not carried over."""
    urlconf = read_urlconf()
    patterns = [] if urlconf is None else list(dict.fromkeys(urlconf.patterns))
    reading = Reading()
    drf.read(patterns, reading)
    decorators.read(patterns, reading)
    smart_ratelimit.read(reading)
    dry_run = options["dry_run"]
    with importing("import-throttle-rates", rows.NOTE):
        result = rows.write(reading, patterns, options["tier"], dry_run=dry_run)
    report = ImportReport(
        dry_run,
        result.made,
        result.left,
        reading.notices,
        reading.refused,
        extra={"tiers": result.tiers},
    )
    report.write(console)
    if result.made:
        console.note(
            "All limits are in shadow: they count and refuse nothing. Choose the tiers on your "
            "routes, as anonymous tier and user tier."
        )
    report.fail_if_refused()


COMMAND = SubCommand(
    "import-throttle-rates",
    "Make tiers of the rates of DRF, django-ratelimit and django-smart-ratelimit.",
    run,
    arguments,
)
