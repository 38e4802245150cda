"""What a request costs as policy grows; a task of a worker of the case ``guard-alone``.

The whole middleware stands in front of a plain view. The smallest and the
largest policy are held by one process and take turns, a few requests each, so
that noise hits both alike; what is compared are medians.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

from django_redis import get_redis_connection

from apiguard import conf
from apiguard.counters.base import LimitCheck, hash_principal, key_for
from apiguard.counters.redis import RedisCounter
from apiguard.models import AllowedOrigin, Client, CorsPolicy, Limit, Route, Tier
from apiguard.policy.holder import holder
from apiguard.policy.snapshot import Snapshot
from apiguard.rules.limits import MICROSECONDS
from apiguard.rules.limits import Limit as LimitRule
from apiguard.testing import make_key, snapshot_of
from benchmarks.calls import App, environ, timed
from benchmarks.tables import progress

Requests = Iterator[dict[str, Any]]
BOUT, WARM_UP = 10, 2
HOUR = 3600
# As many entries as a log holds half a window after it was empty.
HALF_A_LOG = 16


def turns(app: App, sides: Sequence[tuple[Snapshot, Requests]], rounds: int) -> list[float]:
    """Median microseconds of each side."""
    took: list[list[int]] = [[] for _ in sides]
    for _ in range(rounds):
        for index in random.sample(range(len(sides)), len(sides)):
            snapshot, requests = sides[index]
            with holder.override(snapshot):
                bout = [timed(app, next(requests)) for _ in range(BOUT)]
            took[index] += bout[WARM_UP:]
    return [statistics.median(values) / 1000 for values in took]


# -- origins ----------------------------------------------------------------------


def origins(number: int, *, wildcard: bool) -> tuple[Snapshot, Requests]:
    """A CORS policy of so many origins; requests come from any of them."""
    policy = CorsPolicy(name="cors", allow_credentials=True)
    hosts = [f"app-{index}.example.com" for index in range(number)]
    patterns = [f"https://{'*.' if wildcard else ''}{host}" for host in hosts]
    rows = [AllowedOrigin(policy=policy, pattern=pattern) for pattern in patterns]
    route = Route(name="plain", path_prefix="/plain/", access="public", cors_policy=policy)
    sent = [f"https://{'www.' if wildcard else ''}{host}" for host in _some(hosts)]
    return snapshot_of(route, *rows), cycle(_asked(HTTP_ORIGIN=origin) for origin in sent)


def foreign(number: int) -> tuple[Snapshot, Requests]:
    """The same, asked from a site that is served without CORS headers."""
    snapshot, _ = origins(number, wildcard=False)
    return snapshot, cycle([_asked(HTTP_SEC_FETCH_SITE="same-origin", HTTP_ORIGIN="https://x.org")])


# -- routes -----------------------------------------------------------------------


def routes(number: int) -> tuple[Snapshot, Requests]:
    """So many routes; requests go to any of them."""
    prefixes = [f"/plain/part-{index}/" for index in range(number)]
    rows = [Route(name=prefix, path_prefix=prefix, access="public") for prefix in prefixes]
    asked = [environ(f"{prefix}thing", {}) for prefix in _some(prefixes)]
    return snapshot_of(*rows), cycle(asked)


# -- limits -----------------------------------------------------------------------


def limits(amount: int) -> tuple[Snapshot, Requests]:
    """One limit of so many requests, its log put back to half full all the time."""
    tier = Tier(slug=f"tier-{amount}", name="Tier")
    limit = Limit(tier=tier, name="per-hour", amount=amount, period=HOUR)
    client = Client(slug=f"client-{amount}", name="Client", tier=tier)
    key, text = make_key(client)
    route = Route(name="plain", path_prefix="/plain/", access="credentials")
    snapshot = snapshot_of(route, limit, key)
    return snapshot, _refilled(environ("/plain/thing", {"X-API-Key": text}), limit, client)


def _refilled(asked: dict[str, Any], limit: Limit, client: Client) -> Requests:
    """The request, after its log was put back to half full."""
    redis, prefix = get_redis_connection("apiguard"), conf.current().counter_prefix
    principal = f"client:{client.pk}"
    key = key_for(prefix, hash_principal(principal), limit.pk)
    rule = LimitRule(limit.pk, limit.name, "window", limit.amount, HOUR)
    _fill(redis, prefix, principal, rule)
    kept = f"half-full-{limit.amount}"
    redis.copy(key, kept, replace=True)
    while True:
        redis.copy(kept, key, replace=True)
        yield asked


def _fill(redis: Any, prefix: str, principal: str, rule: LimitRule) -> None:
    entries = min(HALF_A_LOG, rule.amount // 2)
    half = rule.period * MICROSECONDS // 2
    begin = time.time_ns() // 1000 - half
    moments = iter(range(begin, begin + half, half // entries))
    counter = RedisCounter(lambda: redis, prefix, clock=lambda: next(moments))
    for _ in range(entries):
        counter.check(LimitCheck(principal, (rule,), rule.amount // 2 // entries))


# -- all of it --------------------------------------------------------------------


def _asked(**meta: str) -> dict[str, Any]:
    return environ("/plain/thing", {}, **meta)


def _some(names: list[str]) -> list[str]:
    """At most a hundred of them, from everywhere."""
    return random.sample(names, min(100, len(names)))


def rows(most: dict[str, int]) -> dict[str, tuple[Callable[[int], Any], int, int]]:
    """Row of the table -> what makes one side of it, the smallest and the largest."""
    return {
        "origins, exact": (lambda number: origins(number, wildcard=False), 1, most["origins"]),
        "origins, wildcard": (lambda number: origins(number, wildcard=True), 1, most["origins"]),
        "origins, none matches": (foreign, 1, most["origins"]),
        "routes": (routes, 1, most["routes"]),
        "amount of a limit": (limits, 10, most["limits"]),
    }


def measure(app: App, most: dict[str, int], rounds: int) -> dict[str, dict[str, float]]:
    """Row -> sizes, and the microseconds of a request at the smallest and the largest."""
    measured = {}
    for name, (make, smallest, largest) in rows(most).items():
        progress(f"growth: {name}, {smallest:,} to {largest:,}")
        small, large = turns(app, [make(smallest), make(largest)], rounds)
        measured[name] = {"least": smallest, "most": largest, "small": small, "large": large}
    return measured
