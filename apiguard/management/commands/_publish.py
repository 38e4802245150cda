"""``apiguard publish``: make every worker forget what it holds and read all policy anew."""

from __future__ import annotations

from django.db import transaction

from ...models import PolicyChange, acting, everything
from ...models.audit import record
from ...models.state import publish, write_alias
from ._console import Console, Options, SubCommand

REASON = "Published by hand, as is needed after raw SQL."


def run(console: Console, options: Options) -> None:
    """Take the next revision and print it."""
    using = write_alias()
    with (
        acting(name="apiguard publish (command line)", reason=REASON),
        transaction.atomic(using=using),
    ):
        revision = publish(everything, using)
        record(revision, PolicyChange.Action.PUBLISHED, using=using)
    console.answer({"revision": revision}, [f"Revision {revision} is published."])


COMMAND = SubCommand("publish", "Make all workers read all policy anew.", run)
