"""What a client has used of its limits now, and how to count it from zero again.

For people: nothing here is called by a request. A store that does not answer costs a
page ``TIMEOUT_SECONDS`` at most, whatever the timeouts of its client are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from ..concurrency import Busy, DaemonThreads, TimedOut
from ..conf import Settings
from ..counters.base import StoreFailed
from ..policy.records import ClientRecord
from ..policy.snapshot import Snapshot
from ..rules.limits import Counted, Limit
from .effects import limit_counter
from .limits import with_overrides

T = TypeVar("T")

TIMEOUT_SECONDS = 0.5

# Few, because calls that hang must not become many.
_threads = DaemonThreads("apiguard-limit-use", most=2, max_queue=100)


def principal_of(client_pk: Any) -> str:
    """Return what a client is counted as, whatever key it uses."""
    return f"client:{client_pk}"


def client_limits(snapshot: Snapshot, client: ClientRecord) -> tuple[Limit, ...]:
    """Return all limits of the client's tier, on whatever route, with its overrides in force."""
    tier = snapshot.tiers.get(client.tier_pk)
    if tier is None or tier.broken:
        return ()
    return with_overrides(tier.all_limits, client, datetime.now(UTC))


def read_use(
    settings: Settings, principal: str, limits: tuple[Limit, ...]
) -> Mapping[int, Counted]:
    """Return what ``principal`` has used of each of these limits, by the limit's primary key.

    Nothing is counted. One round trip.

    Raises:
        CounterUnavailable: the store does not answer.
    """
    if not limits:
        return {}
    counter = limit_counter(settings)
    decision = _within_time(lambda: counter.read(principal, limits), settings)
    return {one.limit.pk: one for one in decision.counted}


def reset_use(settings: Settings, principal: str, limit_pks: Sequence[int]) -> None:
    """Count these limits of ``principal`` from zero.

    Where limits are counted in memory, those of this process alone.

    Raises:
        CounterUnavailable: the store does not answer; the limits may or may not be reset.
    """
    counter = limit_counter(settings)
    _within_time(lambda: counter.reset(principal, limit_pks), settings)


def _within_time(work: Callable[[], T], settings: Settings) -> T:
    if settings.counter == "memory":
        return work()
    try:
        return _threads.call(work, TIMEOUT_SECONDS)
    except (Busy, TimedOut) as error:
        raise StoreFailed("Redis: Timeout") from error
