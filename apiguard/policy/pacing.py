"""Long work in a thread beside requests: it rests, again and again, so that they run.

A thread that computes gives the interpreter away only every few milliseconds,
and each request wants it several times. So reading and compiling many rows
rests after every short spell of work.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

# CPU seconds of a spell of work, and the rest after it.
WORK_SECONDS = 0.002
REST_SECONDS = 0.0005
# On a busy machine a rest takes far longer than requested. Then spells are as long
# as rests, up to this, so that the work is not held up for many times its own length.
MOST_WORK_SECONDS = 0.02
# Items after which the clock is read, which costs as much as some items do.
PER_READING = 8


def paced(items: Iterable[T]) -> Iterator[T]:
    """Yield the same items, with a rest after each spell of work on them."""
    until = time.thread_time() + WORK_SECONDS
    for number, item in enumerate(items, 1):
        yield item
        if number % PER_READING == 0 and time.thread_time() >= until:
            begun = time.perf_counter()
            time.sleep(REST_SECONDS)
            rested = time.perf_counter() - begun
            until = time.thread_time() + min(max(WORK_SECONDS, rested), MOST_WORK_SECONDS)
