"""A bounded cache that keeps what is in use: no lock to read, no scan to make room.

Deleting the oldest entry of a plain dict over and over is not cheap: finding
the first one walks over all that were deleted before it. Here entries stand in
two generations. A key that is read moves to the newer one; when that is full,
the older one is dropped whole. So a key that is read once while ``room`` others
come stays, however many come only once, and every step costs the same however
many there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """At least the last ``room`` keys that were used; never more than twice as many.

    Values must not be ``None``. Thread-safe; a reader never waits.

    Args:
        room: keys of one generation, at least 1.
    """

    __slots__ = ("_generations", "_lock", "_room")

    def __init__(self, room: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        # Newer, older. One tuple, so that a reader sees both as they were at one time.
        self._generations: tuple[dict[K, V], dict[K, V]] = ({}, {})

    def __len__(self) -> int:
        return len(self.values())

    def values(self) -> list[V]:
        """Return all values as they are now, each once."""
        with self._lock:
            newer, older = self._generations
            return list({**older, **newer}.values())

    def get(self, key: K) -> V | None:
        """Return the value, or ``None``; reading a key keeps it."""
        newer, older = self._generations
        value = newer.get(key)
        if value is None and (value := older.get(key)) is not None:
            self._move(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep this value; the keys that were read longest ago may go."""
        with self._lock:
            self._add(key, value)

    def where(self, wanted: Callable[[V], bool]) -> BoundedCache[K, V]:
        """Return a new cache of the values that are ``wanted``, in their generations."""
        with self._lock:
            newer, older = map(dict, self._generations)
        result: BoundedCache[K, V] = BoundedCache(self._room)
        result._generations = (
            {key: value for key, value in newer.items() if wanted(value)},
            # What was put anew since must not come back as it was before.
            {key: value for key, value in older.items() if key not in newer and wanted(value)},
        )
        return result

    def _move(self, key: K, value: V) -> None:
        # A reader does not wait: a key that cannot be moved now is moved when it is read again.
        if self._lock.acquire(blocking=False):
            try:
                newer, older = self._generations
                # Put anew meanwhile, it is newer than what this reader found.
                if key not in newer and older.get(key) is value:
                    self._add(key, value)
            finally:
                self._lock.release()

    def _add(self, key: K, value: V) -> None:
        newer, _ = self._generations
        if len(newer) >= self._room and key not in newer:
            newer, _ = self._generations = ({}, newer)
        newer[key] = value
