"""Where the settings say that limits are counted, and what this process knows of it."""

from __future__ import annotations

from functools import lru_cache

from ..conf import Settings
from ..counters.base import Asked, Counter, Question, asking
from ..counters.breaker import Breaker
from ..counters.connect import connector
from ..counters.denials import Denials
from ..counters.memory import MemoryCounter
from ..counters.redis import RedisCounter
from ..counters.resilient import ResilientCounter
from ..rules.limits import Decision
from ..telemetry import outages
from ..telemetry.board import Board


class Counting:
    """A counter, and the denials of it that are still true.

    Args:
        denials: ``None`` where counts are in this process's own memory: asking
            it is cheap.
    """

    __slots__ = ("_ask", "_denials")

    def __init__(self, counter: Counter, denials: Denials | None = None) -> None:
        self._ask = asking(counter)
        self._denials = denials

    def recall(self, policy: object, question: Question) -> Decision | None:
        """What can be said without waiting: a denial that is remembered."""
        return None if self._denials is None else self._denials.recall(policy, question)

    def ask(self, policy: object, question: Question) -> Asked:
        """One decision about all limits of a principal, under this state of all policy.

        Raises:
            StoreFailed: the store is away, and a limit says ``closed``.
        """
        if self._denials is None:
            return self._ask(question)
        return self._denials.ask(self._ask, policy, question)


def counting(settings: Settings) -> Counting:
    """Where these settings say that limits are counted; one per process."""
    return _counting(settings.counter, settings.counter_prefix)


def board(settings: Settings) -> Board | None:
    """Where workers leave word of themselves; ``None`` where they share no store."""
    if settings.counter == "memory":
        return None
    # The braces keep it on one slot of a cluster, apart from all that is counted.
    return Board(connector(settings.counter), f"{settings.counter_prefix}:{{workers}}")


def forget() -> None:
    """Drop this process's counters, and with them what was counted in memory; for tests."""
    _counting.cache_clear()


@lru_cache(maxsize=8)
def _counting(name: str, prefix: str) -> Counting:
    if name == "memory":
        return Counting(MemoryCounter())
    denials = Denials()

    def on_change(away: bool) -> None:
        # What was denied by the one count is not denied by the other.
        denials.clear()
        outages.note(away)

    breaker = Breaker(on_change)
    store = ResilientCounter(RedisCounter(connector(name), prefix), MemoryCounter(), breaker)
    return Counting(store, denials)
