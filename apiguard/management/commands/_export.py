"""``apiguard export``: the policy as a file for a repository, without keys and secrets."""

from __future__ import annotations

from argparse import ArgumentParser

from ...policy import load
from ...transfer.entries import read_policy
from ...transfer.export import as_json, as_yaml
from ._console import Console, Options, SubCommand, found


def arguments(parser: ArgumentParser) -> None:
    """``[--clients] [--format yaml|json]``."""
    parser.add_argument("--clients", action="store_true", help="clients and their overrides too")
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml", help="yaml (default)")


def run(console: Console, options: Options) -> None:
    """Print the policy of one revision; the same policy gives the same bytes."""
    clients = options["clients"]
    try:
        policy = read_policy(with_clients=clients)
    except load.PolicyMoved as error:
        raise found("Policy is being changed faster than it can be read. Try again.") from error
    write = as_json if console.as_json or options["format"] == "json" else as_yaml
    # The console ends it with a line break.
    console.stdout.write(write(policy, clients=clients).removesuffix("\n"))
    console.note(f"Revision {policy.state.revision}.")


COMMAND = SubCommand("export", "Print the policy as a file for plan and apply.", run, arguments)
