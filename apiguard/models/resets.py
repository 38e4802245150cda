"""Counting from zero again, as a published and recorded act.

The counts themselves are not rows. A revision tells the workers to forget the denials
and failures that they remember; it is committed after the counts were reset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .audit import Entry, PolicyChange, record_entries
from .base import publishing
from .clients import Client
from .state import ADDRESSES, Change, write_alias


@contextmanager
def recorded_reset(client: Client, limits: Sequence[str]) -> Iterator[None]:
    """Publish and record that ``limits`` of ``client`` are reset; the block resets them."""
    using = write_alias()
    with publishing(Change.of("clients", [client.pk]), using) as revision:
        yield
        entry = Entry(
            PolicyChange.Action.RESET,
            Client._meta.label_lower,
            client.pk,
            client.name,
            after={"limits": list(limits)},
        )
        record_entries(revision, [entry], using)


@contextmanager
def recorded_unlock(counted_as: str) -> Iterator[None]:
    """Publish and record that an address is unlocked; the block resets its limits.

    Args:
        counted_as: how the address is counted, such as "ip:192.0.2.1".
    """
    using = write_alias()
    with publishing(Change.of(ADDRESSES, [counted_as]), using) as revision:
        yield
        entry = Entry(PolicyChange.Action.RESET, name=counted_as)
        record_entries(revision, [entry], using)
