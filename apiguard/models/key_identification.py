"""Whose key a text is: for the admin's box and for scans of logs and repositories.

What is given is compared and forgotten; nothing here keeps, logs or returns it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from .. import conf
from ..rules.key_life import KeyState
from ..rules.keys import KeyParts, matches, shown
from .keys import ApiKey
from .state import write_alias


@dataclass(frozen=True, slots=True)
class Identified:
    """What one well-formed key turned out to be.

    Attributes:
        shown: its public part, ``ag_live_<id>_…``.
        key: the row that has its id, with its client, if there is one.
        is_ours: whether the text is that key; else its secret is another one.
        state: what it can do; ``None`` unless it is ours.
        by_id_alone: the pepper of the row is gone, so only the id could be compared.
    """

    shown: str
    key: ApiKey | None = None
    is_ours: bool = False
    state: KeyState | None = None
    by_id_alone: bool = False

    @property
    def is_live(self) -> bool:
        """Whether the key is accepted now, or as soon as somebody repairs a row.

        All but revoked and expired keys: what a leak needs is an end.
        """
        return self.state is not None and not self.state.is_final


def identify(given: Iterable[KeyParts], now: datetime) -> list[Identified]:
    """Return what each of ``given`` is, in their order. One query."""
    parts = list(given)
    keys = ApiKey.objects.using(write_alias()).select_related("client")
    rows = {key.key_id: key for key in keys.filter(key_id__in={part.key_id for part in parts})}
    return [_identified(part, rows.get(part.key_id), now) for part in parts]


def _identified(parts: KeyParts, key: ApiKey | None, now: datetime) -> Identified:
    public = shown(parts.namespace, parts.environment, parts.key_id)
    if key is None:
        return Identified(public)
    peppers = conf.current().key_peppers
    if key.pepper_id and key.pepper_id not in peppers:
        return Identified(public, key, is_ours=True, state=key.state(now), by_id_alone=True)
    if not matches(parts.text, peppers.get(key.pepper_id), key.digest):
        return Identified(public, key)
    return Identified(public, key, is_ours=True, state=key.state(now))
