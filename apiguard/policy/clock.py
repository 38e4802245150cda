"""A clock that goes on while the machine sleeps, to measure the age of a policy.

``time.monotonic()`` stands still while a Linux machine is suspended, and a
worker that wakes up would take an hour-old policy for a fresh one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

seconds: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)
