"""``apiguard baseline``: the recommended policy, where there is none yet."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.exceptions import ValidationError

from ...errors import PolicyError
from ...models import Route, acting
from ...transfer.baseline import PRESETS, write_baseline
from ._console import Console, Options, SubCommand, found, refused


def arguments(parser: ArgumentParser) -> None:
    """``[--prefix /api/] [--access credentials] [--enforce] [--preset api]``."""
    parser.add_argument("--prefix", default="/api/", help="path prefix of the route (/api/)")
    parser.add_argument(
        "--enforce", action="store_true", help="refuse from the start, instead of only observing"
    )
    parser.add_argument(
        "--access",
        choices=(Route.Access.CREDENTIALS.value, Route.Access.APPLICATION.value),
        default=Route.Access.CREDENTIALS.value,
        help="application: for a project that signs people in by itself (credentials)",
    )
    parser.add_argument(
        "--preset", choices=PRESETS, help="response headers of the route (api, or application)"
    )


def run(console: Console, options: Options) -> None:
    """Make what is missing; one line per row on standard output.

    Raises:
        CommandError: exit status 1, ``--enforce`` was given and an existing route does not
            enforce; exit status 2, a value is refused.
    """
    prefix, enforce, preset = options["prefix"], options["enforce"], options["preset"]
    access = options["access"]
    with acting(name="apiguard baseline (command line)", reason="The recommended baseline."):
        try:
            made = write_baseline(prefix, enforce, preset, access)
        except (PolicyError, ValidationError) as error:
            raise refused(error, f"The baseline cannot be written for {prefix!r}") from error
    lines = [f"Made {line}." for line in made]
    console.answer({"created": made}, lines or ["Everything is there already."])
    route = Route.objects.filter(path_prefix=prefix).select_related("header_policy").first()
    sent = str(route.header_policy) if route is not None and route.header_policy else ""
    if route is not None and preset is not None and sent != preset:
        console.note(
            f"The route {route.name!r} was there already and keeps its header policy"
            f"{f' {sent!r}' if sent else ''}. Choose {preset!r} for it in the admin."
        )
    if enforce and route is not None and route.mode != Route.Mode.ENFORCE:
        raise found(
            f"Nothing is enforced yet: the route {route.name!r} ({prefix}) exists already and "
            f"stays in mode {route.mode!r}. Enforce it in the admin, or with: "
            f"apiguard route set {prefix} --mode enforce"
        )
    if made and not enforce:
        console.note(
            "A new route only observes: it refuses nothing and counts what it would have "
            "refused. When you have seen enough, set its mode to 'enforce' in the admin, or "
            f"with: apiguard route set {prefix} --mode enforce"
        )


COMMAND = SubCommand(
    "baseline", "Write the recommended policy where it is missing.", run, arguments
)
