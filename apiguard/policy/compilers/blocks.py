"""Blocked networks. A row with an error blocks nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...models import BlockedNetwork
from ...rules.blocks import Block, BlockTable
from ...rules.networks import parse_network
from ..pacing import paced
from ..rows import Delta, Problems
from ..snapshot import Part


@dataclass(frozen=True, slots=True)
class Blocks:
    """All blocks, compiled, and the table to find them by. A part is ``None`` with an error."""

    parts: dict[Any, Part[Block | None]] = field(default_factory=dict)
    table: BlockTable = field(default_factory=BlockTable)

    def after(self, delta: Delta) -> Blocks:
        """Return a successor, in which the written blocks are compiled anew."""
        gone = delta.gone("blocks")
        if not gone and not delta.written.blocks:
            return self
        parts = {pk: part for pk, part in self.parts.items() if pk not in gone}
        for row in paced(delta.written.blocks):
            parts[row.pk] = _part(row)
        values = (part.value for part in paced(parts.values()))
        return Blocks(parts, BlockTable(value for value in values if value is not None))


def _part(row: BlockedNetwork) -> Part[Block | None]:
    problems = Problems()
    if problems.of(row):
        return Part(None, tuple(problems.found))
    until = None if row.until is None else row.until.timestamp()
    return Part(Block(row.pk, parse_network(row.network), until, row.reason), ())
