"""``apiguard import-api-keys``: the keys of djangorestframework-api-key as clients and keys.

Exit status 1 where a key could not be carried over. Run again it makes nothing twice.
"""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.exceptions import ValidationError

from ...errors import PolicyError
from ...models import Tier, acting
from ...rules.scopes import parse_scopes
from ...transfer import api_keys
from ._console import Console, Options, SubCommand, found, named, refused


def arguments(parser: ArgumentParser) -> None:
    """``[--model APP.MODEL] [--client-field NAME] [--tier SLUG] [--scopes a,b] [--dry-run]``."""
    parser.add_argument(
        "--model", default=api_keys.MODEL, help=f"the model of the keys ({api_keys.MODEL})"
    )
    parser.add_argument(
        "--client-field", default="", help="field that says who owns a key (its name)"
    )
    parser.add_argument("--tier", help="slug of the tier of new clients (none: not limited)")
    parser.add_argument("--scopes", default="", help="scopes of every key, such as a,b (none)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made")


def run(console: Console, options: Options) -> None:
    """Print what was made and what was not; exit status 1 where something was not."""
    dry_run = options["dry_run"]
    tier = named(Tier, "slug", options["tier"]) if options["tier"] else None
    try:
        scopes = parse_scopes([each for each in options["scopes"].split(",") if each])
        plan = api_keys.Plan(options["model"], options["client_field"], tier, tuple(scopes))
        with acting(name="apiguard import-api-keys (command line)", reason=api_keys.NOTE):
            result = api_keys.import_keys(plan, dry_run=dry_run)
    except (PolicyError, ValidationError) as error:
        raise refused(error, "Nothing was imported") from error
    verb = "Would make" if dry_run else "Made"
    console.answer(
        {
            "dry_run": dry_run,
            "created": result.made,
            "there_already": result.left,
            "refused": result.refused,
        },
        [
            *([f"{verb} {line}." for line in result.made] or ["There is nothing to make."]),
            *(f"left: {line}." for line in result.left),
            *(f"refused: {line}." for line in result.refused),
        ],
    )
    if result.refused:
        raise found(f"{len(result.refused)} keys were not carried over.")


COMMAND = SubCommand(
    "import-api-keys", "Make clients and keys of djangorestframework-api-key's.", run, arguments
)
