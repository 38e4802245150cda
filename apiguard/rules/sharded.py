"""An immutable map whose successors share with it all that did not change.

Taking one of 50,000 entries in or out copies the shard that holds it, not the
map. So what is frozen stays frozen, and a change costs what it touches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

# Entries of a shard, on average, when a map is built; a shard that is copied has
# at most a few times as many.
SHARD: Final = 64
MOST: Final = 4 * SHARD


class ShardedMap(Generic[K, V]):
    """Values by key; shared between threads without a lock."""

    __slots__ = ("_mask", "_shards", "_size")

    def __init__(self, entries: Iterable[tuple[K, V]] = ()) -> None:
        whole = dict(entries)
        count = 1 << (len(whole) // SHARD).bit_length()
        shards: list[dict[K, V]] = [{} for _ in range(count)]
        mask = count - 1
        for key, value in whole.items():
            shards[hash(key) & mask][key] = value
        self._shards: tuple[dict[K, V], ...] = tuple(shards)
        self._mask, self._size = mask, len(whole)

    def __len__(self) -> int:
        return self._size

    def __contains__(self, key: K) -> bool:
        return key in self._shards[hash(key) & self._mask]

    def get(self, key: K) -> V | None:
        """Return the value, or ``None``."""
        return self._shards[hash(key) & self._mask].get(key)

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield all entries, in no order."""
        for shard in self._shards:
            yield from shard.items()

    def after(self, removed: Iterable[K], written: Mapping[K, V]) -> ShardedMap[K, V]:
        """Return a successor without the ``removed`` keys, then with the ``written`` entries."""
        copies: dict[int, dict[K, V]] = {}
        size = self._size

        def shard_of(key: K) -> dict[K, V]:
            place = hash(key) & self._mask
            if place not in copies:
                copies[place] = dict(self._shards[place])
            return copies[place]

        for key in removed:
            if key in (shard := shard_of(key)):
                del shard[key]
                size -= 1
        for key, value in written.items():
            shard = shard_of(key)
            size += key not in shard
            shard[key] = value
        if not copies:
            return self
        shards = list(self._shards)
        for place, shard in copies.items():
            shards[place] = shard
        if size > MOST * len(shards):
            return ShardedMap(entry for shard in shards for entry in shard.items())
        successor: ShardedMap[K, V] = ShardedMap.__new__(ShardedMap)
        successor._shards, successor._mask, successor._size = tuple(shards), self._mask, size
        return successor
