"""Whether the caller's address is in a blocked network: the first stage of all.

A block holds on every path, guarded or not, and whatever the mode of the route is.
"""

from __future__ import annotations

import time

from .context import GuardContext
from .verdict import Outcome, Verdict


def check_address(context: GuardContext) -> Verdict | None:
    """403 while the narrowest block of the address has not ended."""
    blocks = context.snapshot.blocks
    if not blocks:
        return None
    block = blocks.find(context.address, time.time())
    if block is None:
        return None
    context.enforced = True
    return Verdict(Outcome.ADDRESS_BLOCKED, reason=f"{block.network} is blocked: {block.reason}")
