"""The key records that requests have asked for, within bounds.

A keyring belongs to one snapshot. Its successor takes over the records that
did not change, so a record that was read too early dies with the snapshot
that read it. Unknown ids are remembered apart, so that a flood of them never
pushes out a good key; they are forgotten with every change of keys.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from typing import Any, Final, Literal

from .records import KeyRecord

UNKNOWN: Final = "unknown"

# About 1 KiB a record.
MAX_RECORDS = 10_000
MAX_UNKNOWN = 10_000


class Keyring:
    """Key id -> record, or ``UNKNOWN`` for ids that no row has.

    Reads take no lock; a record is seen whole or not at all.
    """

    def __init__(
        self,
        records: Iterable[KeyRecord] = (),
        *,
        unknown: Iterable[str] = (),
        closed: bool = False,
    ) -> None:
        self._records = {record.key_id: record for record in records}
        self._unknown = dict.fromkeys(unknown)
        self._lock = threading.Lock()
        # A closed keyring holds every key there is: nothing needs looking up.
        self.closed = closed

    def __len__(self) -> int:
        return len(self._records)

    def get(self, key_id: str) -> KeyRecord | Literal["unknown"] | None:
        """The record; ``UNKNOWN``; or ``None`` if only the database can tell."""
        record = self._records.get(key_id)
        if record is not None:
            return record
        return UNKNOWN if self.closed or key_id in self._unknown else None

    def put(self, key_id: str, record: KeyRecord | None) -> None:
        """Keep what the database said of one id; the oldest goes if there is no room."""
        with self._lock:
            if record is None:
                self._unknown[key_id] = None
                if len(self._unknown) > MAX_UNKNOWN:
                    del self._unknown[next(iter(self._unknown))]
                return
            self._records[key_id] = record
            if len(self._records) > MAX_RECORDS:
                del self._records[next(iter(self._records))]

    def without(
        self, keys: Collection[Any] | None = (), clients: Collection[Any] | None = ()
    ) -> Keyring:
        """A successor that forgets these keys and the keys of these clients.

        ``None`` stands for all of them.
        """
        if keys is None or clients is None:
            return Keyring()
        with self._lock:
            return Keyring(
                record
                for record in self._records.values()
                if record.pk not in keys and record.client.pk not in clients
            )
