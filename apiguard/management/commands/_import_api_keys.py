"""``apiguard import-api-keys``: the keys of djangorestframework-api-key as clients and keys.

Exit status 1 where a key could not be carried over. Run again it makes nothing twice.
"""

from __future__ import annotations

from argparse import ArgumentParser

from ...models import Tier
from ...rules.scopes import parse_scopes
from ...transfer import api_keys
from ._console import Console, Options, SubCommand, named
from ._import_report import ImportReport, add_dry_run, importing


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
    add_dry_run(parser)


def run(console: Console, options: Options) -> None:
    """Print what was made and what was not; exit status 1 where something was not."""
    dry_run = options["dry_run"]
    tier = named(Tier, "slug", options["tier"]) if options["tier"] else None
    with importing("import-api-keys", api_keys.NOTE):
        scopes = parse_scopes([each for each in options["scopes"].split(",") if each])
        plan = api_keys.Plan(options["model"], options["client_field"], tier, tuple(scopes))
        result = api_keys.import_keys(plan, dry_run=dry_run)
    report = ImportReport(dry_run, result.made, result.left, refused=result.refused)
    report.write(console)
    report.fail_if_refused()


COMMAND = SubCommand(
    "import-api-keys", "Make clients and keys of djangorestframework-api-key's.", run, arguments
)
