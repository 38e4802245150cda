"""``apiguard baseline``: the recommended policy, where there is none yet."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.exceptions import ValidationError

from ...errors import PolicyError
from ...models import Route, acting
from ...transfer.baseline import write_baseline
from ._console import Console, Options, SubCommand, refused


def arguments(parser: ArgumentParser) -> None:
    """``[--prefix /api/] [--enforce]``."""
    parser.add_argument("--prefix", default="/api/", help="path prefix of the route (/api/)")
    parser.add_argument(
        "--enforce", action="store_true", help="refuse from the start, instead of only observing"
    )


def run(console: Console, options: Options) -> None:
    """Make what is missing; one line per row on standard output."""
    prefix, enforce = options["prefix"], options["enforce"]
    with acting(name="apiguard baseline (command line)", reason="The recommended baseline."):
        try:
            made = write_baseline(prefix, enforce)
        except (PolicyError, ValidationError) as error:
            raise refused(error, f"The baseline cannot be written for {prefix!r}") from error
    lines = [f"Made {line}." for line in made]
    console.answer({"created": made}, lines or ["Everything is there already."])
    route = Route.objects.filter(path_prefix=prefix).first()
    if enforce and route is not None and route.mode != Route.Mode.ENFORCE:
        console.note(
            f"The route {route.name!r} was there already and stays in mode {route.mode!r}. "
            "Set its mode to 'enforce' in the admin."
        )
    if made and not enforce:
        console.note(
            "A new route only observes: it refuses nothing and counts what it would have "
            "refused. Set its mode to 'enforce' in the admin when you have seen enough."
        )


COMMAND = SubCommand(
    "baseline", "Write the recommended policy where it is missing.", run, arguments
)
