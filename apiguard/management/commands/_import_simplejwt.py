"""``apiguard import-simplejwt``: the settings of djangorestframework-simplejwt as an issuer.

Exit status 1 where the project's settings have to change first; the lines are printed.
"""

from __future__ import annotations

from argparse import ArgumentParser

from ...models import Tier
from ...transfer import simplejwt
from ._console import Console, Options, SubCommand, found, named
from ._import_report import ImportReport, add_dry_run, importing


def arguments(parser: ArgumentParser) -> None:
    """``[--name simplejwt] [--tier SLUG] [--dry-run]``."""
    parser.add_argument("--name", default="simplejwt", help="name of the issuer (simplejwt)")
    parser.add_argument("--tier", help="slug of the tier of its subjects (none: not limited)")
    add_dry_run(parser)


def run(console: Console, options: Options) -> None:
    """Make the issuer, or print which settings have to change first; then exit status 1."""
    dry_run = options["dry_run"]
    tier = named(Tier, "slug", options["tier"]) if options["tier"] else None
    made: list[str] = []
    with importing("import-simplejwt", simplejwt.NOTE):
        reading = simplejwt.read(options["name"])
        if not reading.changes:
            made = simplejwt.write(reading, tier, dry_run=dry_run)
    extra = {"settings_to_change": reading.changes}
    report = ImportReport(dry_run, made, notices=reading.notices, extra=extra)
    if not reading.changes:
        report.write(console)
        return
    heading = "Nothing is made yet. Add these lines to the settings and run this again:"
    changes = [f"    {line}" for line in reading.changes]
    console.answer(report.as_dict(), [heading, *changes, *report.remarks()])
    raise found(f"{len(reading.changes)} settings have to change first.")


COMMAND = SubCommand("import-simplejwt", "Make an issuer of simplejwt's settings.", run, arguments)
