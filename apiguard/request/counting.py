"""Where the settings say that limits are counted, and what this process knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from ..conf import Settings
from ..counters.base import Counter
from ..counters.breaker import Breaker
from ..counters.denials import Denials
from ..counters.memory import MemoryCounter
from ..counters.redis import RedisCounter
from ..counters.resilient import ResilientCounter
from ..rules.limits import Decision, Limit
from ..telemetry import outages

TIMEOUT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Counting:
    """A counter, and the denials of it that are still true.

    ``denials`` and ``breaker`` are ``None`` where counts are in this process's
    own memory: asking it is cheap, and it is never away.
    """

    counter: Counter
    denials: Denials | None = None
    breaker: Breaker | None = None

    def recall(
        self, policy: object, principal: str, limits: Sequence[Limit], cost: int
    ) -> Decision | None:
        """What can be said without waiting: a denial that is remembered."""
        if self.denials is None:
            return None
        return self.denials.recall(policy, principal, limits, cost)

    def decide(
        self, policy: object, principal: str, limits: Sequence[Limit], cost: int
    ) -> Decision:
        """One decision about all limits of a principal.

        Raises:
            StoreFailed: the store is away, and a limit says ``closed``.
        """
        if self.denials is None:
            return self.counter.decide(principal, limits, cost)
        return self.denials.decide(self.counter, policy, principal, limits, cost)


def counting(settings: Settings) -> Counting:
    """Where these settings say that limits are counted; one per process."""
    return _counting(settings.counter, settings.counter_prefix)


def forget() -> None:
    """Drop this process's counters, and with them what was counted in memory; for tests."""
    _counting.cache_clear()


@lru_cache(maxsize=8)
def _counting(name: str, prefix: str) -> Counting:
    if name == "memory":
        return Counting(MemoryCounter())
    if name.startswith("redis+cluster://"):
        connect = _cluster(name.removeprefix("redis+cluster"))
    else:
        connect = _alias(name)
    denials = Denials()

    def on_change(away: bool) -> None:
        # What was denied by the one count is not denied by the other.
        denials.clear()
        outages.note(away)

    breaker = Breaker(on_change)
    store = ResilientCounter(RedisCounter(connect, prefix), MemoryCounter(), breaker)
    return Counting(store, denials, breaker)


def _alias(name: str) -> Any:
    # Imported late: django-redis is only needed where a cache alias is named.
    from django_redis import get_redis_connection

    return lambda: get_redis_connection(name)


def _cluster(rest: str) -> Any:
    clients: list[RedisCluster] = []

    def connect() -> RedisCluster:
        if not clients:
            clients.append(
                RedisCluster.from_url(
                    "redis" + rest,
                    socket_timeout=TIMEOUT_SECONDS,
                    socket_connect_timeout=TIMEOUT_SECONDS,
                    # A script that timed out may have run: asked again, it counts twice.
                    retry=Retry(NoBackoff(), 0),
                )
            )
        return clients[0]

    return connect
