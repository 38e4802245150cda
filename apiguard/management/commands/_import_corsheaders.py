"""``apiguard import-corsheaders``: the ``CORS_*`` settings of this project as rows.

What was made, what means something a little different now, and what was refused
and why. Exit status 1 where something was refused. Run again it makes nothing twice.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator

from django.conf import settings
from django.core.exceptions import ValidationError

from ...errors import PolicyError
from ...models import acting
from ...transfer import corsheaders
from ...transfer.corsheaders_settings import read
from ._console import Console, Options, SubCommand, found, refused


def arguments(parser: ArgumentParser) -> None:
    """``[--name corsheaders] [--prefix /api/] [--dry-run]``."""
    parser.add_argument(
        "--name", default=corsheaders.POLICY, help=f"name of the CORS policy ({corsheaders.POLICY})"
    )
    parser.add_argument("--prefix", help="path prefix of the route that is to use the policy")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made")


def run(console: Console, options: Options) -> None:
    """Print what was made, noticed and refused; exit status 1 where something was refused."""
    reading = read(settings)
    corsheaders.refuse_receivers(reading)
    name, prefix, dry_run = options["name"], options["prefix"], options["dry_run"]
    with acting(name="apiguard import-corsheaders (command line)", reason=corsheaders.NOTE):
        try:
            made = corsheaders.write(reading, name, prefix, dry_run=dry_run)
        except (PolicyError, ValidationError) as error:
            raise refused(error, "Nothing was imported") from error
    data = {
        "dry_run": dry_run,
        "created": made,
        "origins": reading.origins,
        "prefixes": reading.prefixes,
        "notices": [error.as_dict() for error in reading.notices],
        "refused": [error.as_dict() for error in reading.refused],
    }
    verb = "Would make" if dry_run else "Made"
    lines = [f"{verb} {line}." for line in made] or ["Everything is there already."]
    remarks = [*_lines("notice", reading.notices), *_lines("refused", reading.refused)]
    console.answer(data, [*lines, *remarks])
    if prefix is None and reading.prefixes:
        console.note(f"CORS_URLS_REGEX covers {', '.join(reading.prefixes)}: see --prefix.")
    if reading.refused:
        raise found(f"{len(reading.refused)} of the settings' values were refused.")


def _lines(kind: str, errors: Iterable[PolicyError]) -> Iterator[str]:
    for error in errors:
        yield f"{kind}: {error.field}: {error.as_dict()['value']!r}"
        yield f"    {error}"
        if error.suggestion:
            yield f"    It became {error.suggestion}."


COMMAND = SubCommand(
    "import-corsheaders", "Make rows of django-cors-headers' settings.", run, arguments
)
