"""``apiguard changes``: the history of policy, oldest first; as JSON, one object per line."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from ...models import PolicyChange
from ...models.state import write_alias
from ._console import Console, Options, SubCommand, moment, whole_number

MOST = 2**63 - 1
# Columns that a line for people names.
MOST_NAMED = 4


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--since", type=whole_number(0, MOST), default=0, metavar="REVISION", help="later ones only"
    )


def run(console: Console, options: Options) -> None:
    """Print every change after a revision."""
    changes = PolicyChange.objects.using(write_alias()).filter(revision__gt=options["since"])
    for change in changes.order_by("pk").iterator(1000):
        if console.as_json:
            console.stdout.write(json.dumps(as_dict(change)))
        else:
            console.line(_line(change))


def as_dict(change: PolicyChange) -> dict[str, Any]:
    """Return a change for ``json.dumps``."""
    return {
        "id": change.pk,
        "revision": change.revision,
        "at": moment(change.at),
        "who": change.actor_name,
        "request_id": change.request_id,
        "reason": change.reason,
        "action": change.action,
        "model": change.model.removeprefix("apiguard."),
        "pk": change.object_pk,
        "name": change.object_name,
        "before": change.before,
        "after": change.after,
        "names": change.names,
    }


def _line(change: PolicyChange) -> str:
    who = change.actor_name or "somebody"
    row = f"{change.model.removeprefix('apiguard.')} {change.object_name}".strip()
    text = f"{change.revision}  {moment(change.at)}  {who}: {change.action} {row}".rstrip()
    differing = ", ".join(_differing(change))
    reason = f" ({change.reason})" if change.reason else ""
    return f"{text}{f' [{differing}]' if differing else ''}{reason}"


def _differing(change: PolicyChange) -> Iterator[str]:
    if change.before is None or change.after is None:
        return
    names = list(change.after)
    for name in names[:MOST_NAMED]:
        before, after = (_shown(change, each, name) for each in (change.before, change.after))
        yield f"{name}: {before} -> {after}"
    if len(names) > MOST_NAMED:
        yield f"{len(names) - MOST_NAMED} more"


def _shown(change: PolicyChange, values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    called = (change.names or {}).get(name, {}).get(str(value))
    return called or json.dumps(value, ensure_ascii=False)[:60]


COMMAND = SubCommand("changes", "Print the history of policy.", run, _arguments)
