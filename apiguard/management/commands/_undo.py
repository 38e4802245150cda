"""``apiguard undo``: take a revision back, or everything since one."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ...history.apply import UndoRefused, apply_undo, locked
from ...history.undo import Undo, of_revision, plan_undo, since_revision
from ...models import PolicyState, acting
from ...models.state import write_alias
from ...policy import build
from ...policy.callers import read_callers
from ...policy.consequences import compare, compare_callers
from ...policy.snapshot import Snapshot, empty
from ._console import Console, Options, SubCommand, found, used_wrongly, whole_number

MOST = 2**63 - 1


class _NotConfirmed(Exception):
    """Raised out of the transaction, so that nothing of the trial stays."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("revision", type=whole_number(0, MOST), metavar="REVISION")
    parser.add_argument(
        "--since",
        action="store_true",
        help="go back to how it was then; keys and blocks stay",
    )
    parser.add_argument("--yes", action="store_true", help="do it, not only print what it does")
    parser.add_argument("--reason", default="", metavar="TEXT")


def run(console: Console, options: Options) -> None:
    """Print what an undo does; do it with ``--yes``."""
    using, number, since = write_alias(), options["revision"], options["since"]
    changes = since_revision(number, using) if since else of_revision(number, using)
    if not changes:
        raise used_wrongly(f"No row was changed {'since' if since else 'by'} revision {number}.")
    texts: list[str] = []
    name, reason = "apiguard undo (command line)", options["reason"] or f"undo of {number}"
    try:
        with acting(name=name, reason=reason), locked(using):
            before = _snapshot()
            undo = plan_undo(changes, using, goes_back=since)
            callers = undo.callers(using)
            apply_undo(undo, using, reason)
            after = _snapshot()
            policies, now = (before, after), datetime.now(UTC)
            effects = [
                *compare(before, after, read_callers()),
                *compare_callers(callers, undo.callers(using), policies, now),
            ]
            texts = [each.text for each in effects]
            if not options["yes"]:
                raise _NotConfirmed
    except UndoRefused as refused:
        raise used_wrongly("\n".join(["Nothing was undone.", *refused.obstacles])) from refused
    except _NotConfirmed:
        _print(console, undo, texts, None)
        if undo.steps:
            raise found("Nothing was done. Add --yes to do it.") from None
        return
    _print(console, undo, texts, PolicyState.objects.using(using).get(pk=1).revision)


def _snapshot() -> Snapshot:
    return build.full().snapshot or empty()


def _print(console: Console, undo: Undo, effects: list[str], revision: int | None) -> None:
    steps = [_as_dict(step) for step in undo.steps]
    data = {"revision": revision, "steps": steps, "effects": effects, "notes": undo.notes}
    console.answer(data, _lines(undo, effects, revision))


def _as_dict(step: Any) -> dict[str, Any]:
    entry = step.entry
    model = entry.model.removeprefix("apiguard.")
    return {
        "kind": step.kind,
        "model": model,
        "pk": step.pk,
        "name": entry.name,
        "before": entry.before,
        "after": entry.after,
        "names": entry.names,
    }


def _lines(undo: Undo, effects: list[str], revision: int | None) -> Iterator[str]:
    if not undo.steps:
        yield "There is nothing to undo: everything is as it was."
    for step in undo.steps:
        columns = ""
        if step.kind == "change":
            columns = f" ({', '.join(step.entry.after or {})})"
        yield f"{step.kind} {step.model._meta.verbose_name} {step.entry.name}{columns}"
    yield from effects
    yield from undo.notes
    if undo.steps and revision is not None:
        yield f"Done as revision {revision}."


COMMAND = SubCommand("undo", "Take back what a revision changed.", run, _arguments)
