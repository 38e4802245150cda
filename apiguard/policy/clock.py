"""The clock of whoever must not judge by an old policy: it goes on while the machine sleeps.

``time.monotonic()`` stands still while a Linux machine is suspended, and a
worker that wakes up would take an hour-old policy for a fresh one.
"""

from __future__ import annotations

import time


def _seconds_since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


seconds = _seconds_since_boot if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
