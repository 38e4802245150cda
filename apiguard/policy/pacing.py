"""Long work in a thread beside requests: it lets them run, again and again.

A thread that computes gives the interpreter away only every few milliseconds,
and each request wants it several times. So reading and compiling many rows
rests after every short spell of work.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

# A spell of work, and the rest after it.
WORK_SECONDS = 0.002
REST_SECONDS = 0.0005


def paced(items: Iterable[T]) -> Iterator[T]:
    """The same items, with a rest after each spell of work on them."""
    until = time.perf_counter() + WORK_SECONDS
    for item in items:
        yield item
        if time.perf_counter() >= until:
            time.sleep(REST_SECONDS)
            until = time.perf_counter() + WORK_SECONDS
