"""The key records that requests have asked for, within bounds.

A keyring belongs to one snapshot. Its successor takes over the records that
did not change, so a record that was read too early dies with the snapshot
that read it. What is in use stays, however many keys come only once. Unknown
ids are remembered apart, so that a flood of them never pushes out a good key;
they are forgotten with every change of keys. So are callers, made of a record
for the next request with the same key.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Hashable, Iterable
from typing import Any, Final, Literal

from ..bounded_cache import BoundedCache
from .records import KeyRecord

UNKNOWN: Final = "unknown"

# Of each at least so many that are in use, at most twice as many. A record is
# about 1.5 KiB, an unknown id 0.2 KiB.
MAX_RECORDS = 10_000
MAX_UNKNOWN = 10_000


class Keyring:
    """Key id -> record, or ``UNKNOWN`` for ids that no row has.

    Reads wait for no lock; a record is seen whole or not at all.
    """

    __slots__ = ("_callers", "_records", "_unknown", "closed")

    def __init__(
        self,
        records: Iterable[KeyRecord] = (),
        *,
        unknown: Iterable[str] = (),
        closed: bool = False,
    ) -> None:
        # A closed keyring holds every key there is: nothing needs looking up.
        self.closed = closed
        self._records: BoundedCache[str, KeyRecord] = BoundedCache(
            sys.maxsize if closed else MAX_RECORDS
        )
        self._unknown: BoundedCache[str, Literal[True]] = BoundedCache(MAX_UNKNOWN)
        self._callers: BoundedCache[Hashable, Any] = BoundedCache(MAX_RECORDS)
        for record in records:
            self._records.put(record.key_id, record)
        for key_id in unknown:
            self._unknown.put(key_id, True)

    def __len__(self) -> int:
        return len(self._records)

    def get(self, key_id: str) -> KeyRecord | Literal["unknown"] | None:
        """Return the record; ``UNKNOWN``; or ``None`` if only the database can tell."""
        record = self._records.get(key_id)
        if record is not None:
            return record
        return UNKNOWN if self.closed or self._unknown.get(key_id) else None

    def records_of(self, slug: str) -> list[KeyRecord]:
        """Return the records that are held of one client's keys."""
        return [record for record in self._records.values() if record.client.slug == slug]

    def ids_missing_from(self, other: Keyring) -> list[str]:
        """Return the ids of the keys that only this keyring holds, the last used ones last."""
        held = (record.key_id for record in self._records.values())
        return [key_id for key_id in held if other.get(key_id) is None]

    def put(self, key_id: str, record: KeyRecord | None) -> None:
        """Keep what the database said of one id."""
        if record is None:
            self._unknown.put(key_id, True)
        else:
            self._records.put(key_id, record)

    def caller(self, name: Hashable) -> Any:
        """Return the record that is kept under this name, or ``None``."""
        return self._callers.get(name)

    def remember(self, name: Hashable, caller: object) -> None:
        """Keep who is calling by a name that only one key has."""
        self._callers.put(name, caller)

    def without(
        self, keys: Collection[Any] | None = (), clients: Collection[Any] | None = ()
    ) -> Keyring:
        """Return a successor that forgets these keys and the keys of these clients.

        ``None`` stands for all of them.
        """
        successor = Keyring()
        if keys is not None and clients is not None:
            successor._records = self._records.where(
                lambda record: record.pk not in keys and record.client.pk not in clients
            )
        return successor
