"""``manage.py apiguard``: the admin pages for people and programs without a browser.

One sub-command per file beside this one. System checks are not run first: a
key must be revocable while some other app of the project is misconfigured.
"""

from __future__ import annotations

import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from ...models.state import one_revision
from ...policy import load
from . import (
    _baseline,
    _block,
    _changes,
    _check,
    _client,
    _counters,
    _coverage,
    _explain,
    _export,
    _import_api_keys,
    _import_corsheaders,
    _import_simplejwt,
    _import_throttle_rates,
    _key,
    _plan,
    _publish,
    _refusals,
    _route,
    _token,
    _undo,
    _usage,
)
from ._console import INTERRUPTED, Console, LastingOutput, SubCommand, used_wrongly

COMMANDS = (
    _baseline.COMMAND,
    _publish.COMMAND,
    _check.COMMAND,
    _coverage.COMMAND,
    _explain.COMMAND,
    _refusals.COMMAND,
    _refusals.FORGET,
    _export.COMMAND,
    *_plan.COMMANDS,
    _import_corsheaders.COMMAND,
    _import_api_keys.COMMAND,
    _import_simplejwt.COMMAND,
    _import_throttle_rates.COMMAND,
    _token.COMMAND,
    _counters.UNLOCK,
    _usage.COMMAND,
    *_block.COMMANDS,
    _changes.COMMAND,
    _undo.COMMAND,
)

# One level deeper: the word, what it is for, its commands.
GROUPS = (
    ("client", "Create clients.", _client.COMMANDS),
    ("counters", "Show and reset what clients have used of their limits.", _counters.COMMANDS),
    ("route", "Create and change routes.", _route.COMMANDS),
    ("key", "Create, list, rotate, revoke and verify API keys.", _key.COMMANDS),
)

# What every command of Django takes, wherever it stands in the line.
EVERYWHERE = ("--settings", "--pythonpath")


class Command(BaseCommand):
    """Finds the sub-command, and says plainly why it cannot be done."""

    help = "Policy from the command line. Add --help to a command to see its arguments."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One parser per sub-command; those of ``GROUPS`` one level deeper."""
        subs = parser.add_subparsers(metavar="COMMAND", required=True)
        _add_all(subs, COMMANDS)
        for word, purpose, commands in GROUPS:
            group = subs.add_parser(word, help=purpose)
            _add_all(group.add_subparsers(metavar="COMMAND", required=True), commands)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the sub-command.

        Raises:
            CommandError: with exit status 1 or 2, or 130 after Ctrl+C.
        """
        if sys.stdout is None and options.get("stdout") is None:
            raise used_wrongly("Standard output is closed: nothing was done.")
        _refuse_unreadable(options)
        output = LastingOutput(self.stdout)
        try:
            self._run(Console(output, LastingOutput(self.stderr), options["json"]), options)
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=INTERRUPTED) from None
        finally:
            output.flush()
        if output.error is not None:
            raise used_wrongly(
                "The command ran to its end, but standard output could not be written "
                f"({output.error.strerror})."
            )

    def _run(self, console: Console, options: Mapping[str, Any]) -> None:
        command: SubCommand = options["command"]
        try:
            if command.needs_tables and not load.tables_exist():
                raise used_wrongly("apiguard's tables do not exist yet. Run: manage.py migrate")
            with one_revision():
                command.run(console, options)
        except ImproperlyConfigured as error:
            raise used_wrongly(f"The settings are wrong. {error}") from error
        except DatabaseError as error:
            raise used_wrongly(
                f"The database did not do it ({str(error).strip()}). "
                "If a table or column is missing, run: manage.py migrate"
            ) from error


def _refuse_unreadable(options: Mapping[str, Any]) -> None:
    """Refuse text that neither a database nor a terminal takes: Python keeps odd bytes in it.

    Raises:
        CommandError: an argument is not UTF-8, as from a terminal of another encoding, or
            argparse lost its value.
    """
    for name, value in options.items():
        # Before Python 3.13, argparse reads "--name=--" as an empty list, past every type.
        if value == []:
            raise used_wrongly(f"The argument {name!r} cannot be '--'.")
        if not isinstance(value, str):
            continue
        if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise used_wrongly(f"The argument {name!r} is not UTF-8: {value[:100]!a}.")


def _add_all(subs: Any, commands: Iterable[SubCommand]) -> None:
    for command in commands:
        _add(subs, command)


def _add(subs: Any, command: SubCommand) -> None:
    parser = subs.add_parser(command.name, help=command.help, description=command.help)
    command.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    for name in EVERYWHERE:
        parser.add_argument(name, default=SUPPRESS, help=SUPPRESS)
    parser.add_argument("--traceback", action="store_true", default=SUPPRESS, help=SUPPRESS)
    parser.set_defaults(command=command)
