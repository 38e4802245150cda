"""How often tests try what is random: the numbers beside the tests, times ``APIGUARD_EXAMPLES``.

It is 1 by default, which suits a run of every change; ``APIGUARD_EXAMPLES=20`` is for a night.
"""

from __future__ import annotations

import os

FACTOR = float(os.environ.get("APIGUARD_EXAMPLES", "1"))


def examples(number: int) -> int:
    """How many of them this run tries."""
    return max(1, round(number * FACTOR))
