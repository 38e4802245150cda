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
from ..policy.snapshot import RoutePolicy, Snapshot, TierPolicy
from ..rules.limits import MICROSECONDS, Counted, Limit
from .effects import limit_counter
from .limits import at_route, with_overrides

T = TypeVar("T")

TIMEOUT_SECONDS = 0.5
# Of more routes that are counted by themselves a page shows nothing.
MAX_ROUTES = 500

# Few, because calls that hang must not become many.
_threads = DaemonThreads("apiguard-limit-use", most=2, max_queue=100)


def principal_of(client_pk: Any) -> str:
    """Return what a client is counted as, whatever key it uses."""
    return f"client:{client_pk}"


def client_limits(snapshot: Snapshot, client: ClientRecord) -> tuple[Limit, ...]:
    """Return all limits of the client's tier, on whatever route, with its overrides in force.

    A limit that counts each route by itself is there once for each route.
    """
    tier = snapshot.tiers.get(client.tier_pk)
    if tier is None or tier.broken:
        return ()
    return with_overrides(on_each_route(tier, snapshot), client, datetime.now(UTC))


def on_each_route(tier: TierPolicy, snapshot: Snapshot) -> tuple[Limit, ...]:
    """Return the limits of a tier as they are counted, those for each route at every route."""
    if tier.is_plain:
        return tier.all_limits
    found = {limit.key: limit for limit in tier.all_limits if not limit.per_route}
    for route in _routes_of(snapshot)[:MAX_ROUTES]:
        own = [at_route(limit, route.pk) for limit in tier.limits_at(route.pk) if limit.per_route]
        found |= {limit.key: limit for limit in own}
    return tuple(sorted(found.values(), key=lambda limit: (limit.pk, limit.route_pk or 0)))


def route_names(snapshot: Snapshot) -> Mapping[Any, str]:
    """Return the names of the routes in force by primary key."""
    return {route.pk: route.name for route in _routes_of(snapshot)}


def _routes_of(snapshot: Snapshot) -> list[RoutePolicy]:
    found = [snapshot.routes.find(prefix) for prefix in sorted(snapshot.routes.prefixes())]
    return [route for route in found if route is not None]


def read_use(
    settings: Settings, principal: str, limits: tuple[Limit, ...]
) -> Mapping[str, Counted]:
    """Return what ``principal`` has used of each of these limits, by the limit's key.

    Nothing is counted. One round trip.

    Raises:
        CounterUnavailable: the store does not answer.
    """
    if not limits:
        return {}
    counter = limit_counter(settings)
    decision = _within_time(lambda: counter.read(principal, limits), settings)
    return {one.limit.key: one for one in decision.counted}


def reset_use(settings: Settings, principal: str, limit_keys: Sequence[str]) -> int:
    """Count the limits with these keys of ``principal`` from zero.

    Where limits are counted in memory, those of this process alone.

    Returns:
        The seconds until they count from zero: at most 2, 0 where no process has reserved units.

    Raises:
        CounterUnavailable: the store does not answer; the limits may or may not be reset.
    """
    counter = limit_counter(settings)
    wait = _within_time(lambda: counter.reset(principal, limit_keys), settings)
    return -(-wait // MICROSECONDS)


def _within_time(work: Callable[[], T], settings: Settings) -> T:
    if settings.counter == "memory":
        return work()
    try:
        return _threads.call(work, TIMEOUT_SECONDS)
    except (Busy, TimedOut) as error:
        raise StoreFailed("Redis: Timeout") from error
