"""Networks that are no longer blocked, and those that are from now on."""

from __future__ import annotations

from collections.abc import Iterator

from ...rules.blocks import Block, BlockTable
from .statements import Draft, Kind, listed


def compare_blocks(old: BlockTable, new: BlockTable) -> Iterator[Draft]:
    """Yield the differences of two sets of blocks."""
    if old == new:
        return
    before = {block.network: block for block in old}
    after = {block.network: block for block in new}
    opened = [
        str(network)
        for network, block in before.items()
        if network not in after or _ends_sooner(after[network], block)
    ]
    closed = [str(network) for network in after if network not in before]
    if opened:
        text = f"Requests from {listed(sorted(opened))} are no longer blocked, or not as long."
        yield Draft(Kind.OPENS, "unblocked", text)
    if closed:
        # To block is the whole purpose of the form, and is in a hurry.
        text = f"Requests from {listed(sorted(closed))} are blocked."
        yield Draft(Kind.CLOSES, "blocked", text, confirm=False)


def _ends_sooner(new: Block, old: Block) -> bool:
    return new.until is not None and (old.until is None or new.until < old.until)
