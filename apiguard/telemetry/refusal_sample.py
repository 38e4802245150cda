"""Which refused requests of a second are kept, in bounded memory. Pure.

Of every second at most ``PER_SECOND`` requests are kept, in this order:

1. of each identified caller, route and outcome the first four,
2. of each anonymous caller, route and outcome the first,
3. of all others a random sample, each as likely as any other.

The others are counted. Memory does not grow with the number of requests.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

PER_SECOND = 20
# Of one identified caller, route and outcome; more of them are as unimportant as anybody's.
PER_CALLER = 4
# Callers of one second that are distinguished; more of them count as seen before.
MAX_CALLERS = 10_000
# Requests of earlier seconds that wait for a flush.
MAX_READY = 400

T = TypeVar("T")
Group = TypeVar("Group", bound=Hashable)


class Sampled(NamedTuple, Generic[T, Group]):
    """The requests that were kept, and how many were not, by group."""

    kept: list[T]
    unkept: Counter[Group]


class RefusalSample(Generic[T, Group]):
    """The sample since it was last taken. Not thread-safe by itself.

    Args:
        uniform: random numbers from 0 to 1.
    """

    def __init__(self, uniform: Callable[[], float] = random.random) -> None:
        self._uniform = uniform
        self._second: int | None = None
        # The least important one comes first; the number keeps values from being compared.
        self._heap: list[tuple[tuple[int, int, float], int, Group, T]] = []
        self._callers: dict[tuple[Group, str], int] = {}
        self._written = 0
        self._added = 0
        self._ready: deque[tuple[Group, T]] = deque()
        self._unkept: Counter[Group] = Counter()

    def add(
        self, at: float, group: Group, caller: str, *, is_identified: bool, build: Callable[[], T]
    ) -> bool:
        """Offer one refused request; ``build`` is called if it is kept for now.

        Args:
            at: seconds, never less than before.
            group: what requests are counted by, such as route and outcome.
        """
        self._begin(int(at))
        importance = self._importance(group, caller, is_identified=is_identified)
        self._added += 1
        room = PER_SECOND - self._written
        if len(self._heap) < room:
            heapq.heappush(self._heap, (importance, self._added, group, build()))
            return True
        if room <= 0 or importance <= self._heap[0][0]:
            self._unkept[group] += 1
            return False
        dropped = heapq.heapreplace(self._heap, (importance, self._added, group, build()))
        self._unkept[dropped[2]] += 1
        return True

    def take(self, at: float, *, everything: bool = True) -> Sampled[T, Group]:
        """Return what was kept, in the order in which it came, and forget it.

        Args:
            everything: whether that of the second that lasts is returned too. What comes
                later in it, however important, then has only the room that is left.
        """
        self._begin(int(at))
        if everything:
            self._written += len(self._heap)
            self._make_ready()
        sampled = Sampled([value for _, value in self._ready], self._unkept)
        self._ready, self._unkept = deque(), Counter()
        return sampled

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not (self._heap or self._ready or self._unkept)

    def _begin(self, second: int) -> None:
        if second == self._second:
            return
        self._make_ready()
        self._second, self._written = second, 0
        self._callers.clear()

    def _make_ready(self) -> None:
        for _, _, group, value in sorted(self._heap, key=lambda entry: entry[1]):
            self._ready.append((group, value))
        self._heap.clear()
        while len(self._ready) > MAX_READY:
            group, _ = self._ready.popleft()
            self._unkept[group] += 1

    def _importance(
        self, group: Group, caller: str, *, is_identified: bool
    ) -> tuple[int, int, float]:
        """Return what is greater for a more important request."""
        key = (group, caller)
        before = self._callers.get(key, 0)
        if before or len(self._callers) < MAX_CALLERS:
            self._callers[key] = before + 1
            is_new = before == 0
        else:
            is_new = is_identified
        if is_identified and before < PER_CALLER:
            return (2, -before, self._uniform())
        return (1 if is_new else 0, 0, self._uniform())
