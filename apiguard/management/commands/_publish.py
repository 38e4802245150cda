"""``apiguard publish``: make every worker forget what it holds and read all policy anew."""

from __future__ import annotations

from django.db import transaction

from ...history.replay import find_unrecorded
from ...models import PolicyChange, acting, everything
from ...models.audit import Entry, record_entries
from ...models.state import publish, write_alias
from ._console import Console, Options, SubCommand

REASON = "Published by hand, as is needed after raw SQL."


def run(console: Console, options: Options) -> None:
    """Take the next revision, record what was written past the models, and print both."""
    using = write_alias()
    with (
        acting(name="apiguard publish (command line)", reason=REASON),
        transaction.atomic(using=using),
    ):
        revision = publish(everything, using)
        found = find_unrecorded(using)
        record_entries(revision, [Entry(PolicyChange.Action.PUBLISHED), *found], using)
    lines = [f"Revision {revision} is published."]
    if found:
        lines.append(f"{len(found)} rows are not as the history had them; it has them now.")
    console.answer({"revision": revision, "found": len(found)}, lines)


COMMAND = SubCommand("publish", "Make all workers read all policy anew.", run)
