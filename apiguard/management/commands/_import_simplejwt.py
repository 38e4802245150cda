"""``apiguard import-simplejwt``: the settings of djangorestframework-simplejwt as an issuer.

Exit status 1 where the project's settings have to change first; the lines are printed.
"""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.exceptions import ValidationError

from ...errors import PolicyError
from ...models import Tier, acting
from ...transfer import simplejwt
from ._console import Console, Options, SubCommand, found, named, refused


def arguments(parser: ArgumentParser) -> None:
    """``[--name simplejwt] [--tier SLUG] [--dry-run]``."""
    parser.add_argument("--name", default="simplejwt", help="name of the issuer (simplejwt)")
    parser.add_argument("--tier", help="slug of the tier of its subjects (none: not limited)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made")


def run(console: Console, options: Options) -> None:
    """Make the issuer, or print which settings have to change first; then exit status 1."""
    dry_run = options["dry_run"]
    tier = named(Tier, "slug", options["tier"]) if options["tier"] else None
    made: list[str] = []
    try:
        reading = simplejwt.read(options["name"])
        if not reading.changes:
            with acting(name="apiguard import-simplejwt (command line)", reason=simplejwt.NOTE):
                made = simplejwt.write(reading, tier, dry_run=dry_run)
    except (PolicyError, ValidationError) as error:
        raise refused(error, "Nothing was imported") from error
    data = {
        "dry_run": dry_run,
        "created": made,
        "settings_to_change": reading.changes,
        "notices": reading.notices,
    }
    notices = [f"notice: {line}" for line in reading.notices]
    if reading.changes:
        heading = "Nothing is made yet. Add these lines to the settings and run this again:"
        console.answer(data, [heading, *(f"    {line}" for line in reading.changes), *notices])
        raise found(f"{len(reading.changes)} settings have to change first.")
    verb = "Would make" if dry_run else "Made"
    lines = [f"{verb} {line}." for line in made] or ["Everything is there already."]
    console.answer(data, [*lines, *notices])


COMMAND = SubCommand("import-simplejwt", "Make an issuer of simplejwt's settings.", run, arguments)
