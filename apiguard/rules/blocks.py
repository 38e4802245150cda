"""Blocked networks, by longest prefix: ten thousand of them cost a look-up what one does.

An address is looked for once per length of prefix that occurs, longest first. A block
that has ended is passed over, so that a wider one that still holds decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .networks import Address, Network, unmapped_address


class Block(NamedTuple):
    """One blocked network; ``until`` is epoch seconds, ``None`` for good."""

    pk: Any
    network: Network
    until: float | None = None
    reason: str = ""

    def holds(self, now: float) -> bool:
        """Return whether the block has not ended."""
        return self.until is None or now < self.until


# How far an address is shifted, and the blocks of that length by what is left of it.
_Lengths = tuple[tuple[int, dict[int, Block]], ...]


class BlockTable:
    """An immutable set of blocks; false where there are none."""

    __slots__ = ("_by_version", "_count")

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        tables: dict[int, dict[int, dict[int, Block]]] = {4: {}, 6: {}}
        for block in blocks:
            network = block.network
            shift = network.max_prefixlen - network.prefixlen
            table = tables[network.version].setdefault(shift, {})
            key = int(network.network_address) >> shift
            held = table.get(key)
            if held is None or _end(held) < _end(block):
                table[key] = block
        self._by_version: dict[int, _Lengths] = {
            version: tuple(sorted(lengths.items(), key=lambda item: item[0]))
            for version, lengths in tables.items()
        }
        self._count = sum(
            len(table) for lengths in self._by_version.values() for _, table in lengths
        )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Block]:
        for lengths in self._by_version.values():
            for _, table in lengths:
                yield from table.values()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BlockTable) and self._by_version == other._by_version

    __hash__ = None  # type: ignore[assignment]

    def find(self, address: Address | None, now: float) -> Block | None:
        """Return the narrowest block that holds at ``now`` and has ``address``."""
        if address is None or not self._count:
            return None
        address = unmapped_address(address)
        number = int(address)
        for shift, table in self._by_version[address.version]:
            block = table.get(number >> shift)
            if block is not None and block.holds(now):
                return block
        return None


def _end(block: Block) -> float:
    return float("inf") if block.until is None else block.until
