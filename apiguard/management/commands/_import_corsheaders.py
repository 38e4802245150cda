"""``apiguard import-corsheaders``: the ``CORS_*`` settings of this project as rows.

What was made, what means something a little different now, and what was refused
and why. Exit status 1 where something was refused. Run again it makes nothing twice.
"""

from __future__ import annotations

from argparse import ArgumentParser

from django.conf import settings

from ...transfer import corsheaders
from ...transfer.corsheaders_settings import read
from ._console import Console, Options, SubCommand
from ._import_report import ImportReport, add_dry_run, importing


def arguments(parser: ArgumentParser) -> None:
    """``[--name corsheaders] [--prefix /api/] [--dry-run]``."""
    parser.add_argument(
        "--name", default=corsheaders.POLICY, help=f"name of the CORS policy ({corsheaders.POLICY})"
    )
    parser.add_argument("--prefix", help="path prefix of the route that is to use the policy")
    add_dry_run(parser)


def run(console: Console, options: Options) -> None:
    """Print what was made, noticed and refused; exit status 1 where something was refused."""
    reading = read(settings)
    corsheaders.refuse_receivers(reading)
    name, prefix, dry_run = options["name"], options["prefix"], options["dry_run"]
    with importing("import-corsheaders", corsheaders.NOTE):
        made = corsheaders.write(reading, name, prefix, dry_run=dry_run)
    report = ImportReport(
        dry_run,
        made,
        notices=reading.notices,
        refused=reading.refused,
        extra={"origins": reading.origins, "prefixes": reading.prefixes},
    )
    report.write(console)
    if prefix is None and reading.prefixes:
        console.note(f"CORS_URLS_REGEX covers {', '.join(reading.prefixes)}: see --prefix.")
    report.fail_if_refused()


COMMAND = SubCommand(
    "import-corsheaders", "Make rows of django-cors-headers' settings.", run, arguments
)
