"""``apiguard plan FILE`` and ``apply FILE``: policy that is kept in a repository.

``plan`` ends with status 1 where the policy differs from the file, so that a scheduled job
finds drift. Nothing but ``apply`` writes.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from ...errors import DocumentError
from ...models import acting
from ...policy import load
from ...policy.consequences import Statement
from ...transfer.apply import PlanRefused, RevisionMoved, apply_document
from ...transfer.difference import Changed, Difference
from ...transfer.documents import MAX_BYTES, Document, read_document
from ...transfer.entries import Entry, describe, name_of
from ...transfer.export import is_empty_default, shown_value
from ...transfer.plan import Plan, make_plan
from ...transfer.sections import BY_NAME
from ...transfer.yaml_reader import YamlNotInstalled
from ...transfer.yaml_writer import scalar
from ._console import (
    Console,
    Options,
    SubCommand,
    found,
    standard_input,
    used_wrongly,
    whole_number,
)

MAX_REVISION = 2**63 - 1
WIDEST_VALUE = 100


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="YAML or JSON; - for standard input")


def _apply_arguments(parser: ArgumentParser) -> None:
    _arguments(parser)
    parser.add_argument("--prune", action="store_true", help="delete rows that are not in the file")
    parser.add_argument(
        "--expect",
        metavar="REVISION",
        type=whole_number(0, MAX_REVISION),
        help="apply only if the policy still has the revision that plan printed",
    )


def read_file(name: str) -> Document:
    """Return the document of a file, or of standard input for ``-``.

    Raises:
        CommandError: it cannot be read, with line and column.
    """
    try:
        if name == "-":
            raw = standard_input().buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        return read_document(raw)
    except OSError as error:
        raise used_wrongly(f"{name} cannot be read: {error.strerror}.") from error
    except YamlNotInstalled as error:
        raise used_wrongly(
            "Files in YAML need PyYAML. Install it: pip install 'apiguard-django[yaml]'. "
            "Or write JSON: apiguard export --format json"
        ) from error
    except DocumentError as error:
        raise used_wrongly(f"{name}: {error}") from error


def _refused(console: Console, name: str, problems: Iterable[DocumentError]) -> CommandError:
    listed = list(problems)
    if console.as_json:
        console.answer({"problems": [problem.as_dict() for problem in listed]}, [])
    lines = [f"{name}: {problem}" for problem in listed]
    return used_wrongly("\n".join([*lines, "Nothing was changed."]))


def _moving() -> CommandError:
    return found("Policy is being changed faster than it can be read. Try again.")


def _plan(console: Console, options: Options) -> None:
    name = options["file"]
    document = read_file(name)
    try:
        plan = make_plan(document)
    except load.PolicyMoved as error:
        raise _moving() from error
    if plan.problems:
        raise _refused(console, name, plan.problems)
    console.answer(_as_dict(plan), _lines(plan))
    if not plan.difference.is_empty:
        raise found("The policy differs from the file.")


def _apply(console: Console, options: Options) -> None:
    name, prune = options["file"], options["prune"]
    document = read_file(name)
    origin = "standard input" if name == "-" else Path(name).name
    with acting(name="apiguard apply (command line)", reason=f"Applied {origin}."):
        try:
            revision, plan = apply_document(document, prune=prune, expect=options["expect"])
        except PlanRefused as error:
            raise _refused(console, name, error.problems) from error
        except RevisionMoved as error:
            raise found(f"{error} Somebody has changed it: run plan again.") from error
        except load.PolicyMoved as error:
            raise _moving() from error
    data = {**_as_dict(plan), "revision": revision, "pruned": prune}
    console.answer(data, _applied_lines(plan.difference, revision, prune=prune))


def _applied_lines(difference: Difference, revision: int, *, prune: bool) -> Iterator[str]:
    if not (difference.created or difference.changed or (prune and difference.absent)):
        yield f"Nothing to change. The policy is of revision {revision}."
    for entry in difference.created:
        yield f"Created {describe(entry.id)}."
    for changed in difference.changed:
        yield f"Changed {_heading(changed)}: {', '.join(changed.fields)}."
    for entry in difference.absent:
        yield f"{'Deleted' if prune else 'Not in the file, and kept:'} {describe(entry.id)}."
    if difference.created or difference.changed or (prune and difference.absent):
        yield f"The policy is of revision {revision} now."


# -- a plan for people --------------------------------------------------------------------


def _lines(plan: Plan) -> Iterator[str]:
    difference = plan.difference
    for entry in difference.created:
        yield f"+ {describe(entry.id)}"
        yield from _values(entry)
    for changed in difference.changed:
        yield f"~ {_heading(changed)}"
        for name in changed.fields:
            before, after = (each.values.get(name) for each in (changed.before, changed.after))
            yield f"    {name}: {_short(before)} -> {_short(after)}"
    yield from _statements("What it does:", plan.does)
    if difference.absent:
        yield "Not in the file; apply deletes them only with --prune:"
        for entry in difference.absent:
            loss = plan.losses.get(entry.id)
            yield f"- {describe(entry.id)}{f': {loss}' if loss else ''}"
        yield from _statements("What deleting them does:", plan.pruning_does)
    for note in plan.notes:
        yield f"Note: {note}"
    if difference.is_empty:
        yield "The policy is as the file says."
    else:
        counts = (len(difference.created), len(difference.changed), len(difference.absent))
        yield "{} to create, {} to change, {} not in the file.".format(*counts)
    yield f"Revision {plan.policy.state.revision}."


def _statements(heading: str, statements: Iterable[Statement]) -> Iterator[str]:
    lines = [f"  {statement.kind}: {statement}" for statement in statements]
    yield from [heading, *lines] if lines else []


def _heading(changed: Changed) -> str:
    was = f" (was {name_of(changed.before.id)!r})" if changed.is_renamed else ""
    return f"{describe(changed.after.id)}{was}"


def _values(entry: Entry) -> Iterator[str]:
    section = BY_NAME[entry.id[0]]
    for name, value in entry.values.items():
        if name not in section.natural and not is_empty_default(section, name, value):
            yield f"    {name}: {_short(value)}"


def _short(value: Any) -> str:
    text = scalar(shown_value(value))
    return text if len(text) <= WIDEST_VALUE else f"{text[:WIDEST_VALUE]}…"


def _as_dict(plan: Plan) -> dict[str, Any]:
    difference = plan.difference
    return {
        "revision": plan.policy.state.revision,
        "differs": not difference.is_empty,
        "created": [
            {**_row(entry), "values": {n: shown_value(v) for n, v in entry.values.items()}}
            for entry in difference.created
        ],
        "changed": [
            {
                **_row(changed.after),
                "was": name_of(changed.before.id) if changed.is_renamed else None,
                "fields": {
                    name: {
                        "before": shown_value(changed.before.values.get(name)),
                        "after": shown_value(changed.after.values.get(name)),
                    }
                    for name in changed.fields
                },
            }
            for changed in difference.changed
        ],
        "not_in_file": [
            {**_row(entry), "lost": plan.losses.get(entry.id)} for entry in difference.absent
        ],
        "does": [_statement(statement) for statement in plan.does],
        "pruning_does": [_statement(statement) for statement in plan.pruning_does],
        "notes": list(plan.notes),
    }


def _statement(statement: Statement) -> dict[str, Any]:
    return {
        "kind": statement.kind.value,
        "code": statement.code,
        "text": statement.text,
        "prefixes": list(statement.prefixes),
    }


def _row(entry: Entry) -> dict[str, str]:
    return {"section": entry.id[0], "name": name_of(entry.id)}


COMMANDS = (
    SubCommand("plan", "Say how the policy differs from a file.", _plan, _arguments),
    SubCommand("apply", "Make the policy what a file says.", _apply, _apply_arguments),
)
