"""``apiguard import-throttle-rates``: the rates of other packages as limits in shadow mode.

Exit status 1 where a rate could not be carried over. Run again it makes nothing twice.
"""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.exceptions import ValidationError

from ...models import acting
from ...models.url_patterns import read_urlconf
from ...transfer.throttles import decorators, drf, rows, smart_ratelimit
from ...transfer.throttles.found import Reading
from ._console import Console, Options, SubCommand, found, refused


def arguments(parser: ArgumentParser) -> None:
    """``[--tier SLUG] [--dry-run]``."""
    parser.add_argument(
        "--tier", default=rows.TIER, help=f"what the tiers' slugs begin with ({rows.TIER})"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be made")


def run(console: Console, options: Options) -> None:
    """Print what was made, what counts otherwise, and what was not carried over."""
    urlconf = read_urlconf()
    patterns = [] if urlconf is None else list(dict.fromkeys(urlconf.patterns))
    reading = Reading()
    drf.read(patterns, reading)
    decorators.read(patterns, reading)
    smart_ratelimit.read(reading)
    dry_run = options["dry_run"]
    with acting(name="apiguard import-throttle-rates (command line)", reason=rows.NOTE):
        try:
            result = rows.write(reading, patterns, options["tier"], dry_run=dry_run)
        except ValidationError as error:
            raise refused(error, "Nothing was imported") from error
    verb = "Would make" if dry_run else "Made"
    console.answer(
        {
            "dry_run": dry_run,
            "created": result.made,
            "there_already": result.left,
            "tiers": result.tiers,
            "notices": reading.notices,
            "refused": reading.refused,
        },
        [
            *([f"{verb} {line}." for line in result.made] or ["There is nothing to make."]),
            *(f"left: {line}." for line in result.left),
            *(f"notice: {line}." for line in reading.notices),
            *(f"refused: {line}." for line in reading.refused),
        ],
    )
    if result.made:
        console.note(
            "All limits are in shadow: they count and refuse nothing. Choose the tiers on your "
            "routes, as anonymous tier and user tier."
        )
    if reading.refused:
        raise found(f"Not carried over: {len(reading.refused)}.")


COMMAND = SubCommand(
    "import-throttle-rates",
    "Make tiers of the rates of DRF, django-ratelimit and django-smart-ratelimit.",
    run,
    arguments,
)
