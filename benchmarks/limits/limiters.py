"""The limiters that are measured side by side, each called as its own documentation says.

All count in the same Redis: apiguard's counter, DRF's ``SimpleRateThrottle`` on
a django-redis cache, and the ``limits`` library's moving window.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from apiguard.counters.base import LimitCheck
from apiguard.counters.redis import RedisCounter
from apiguard.rules.limits import Limit

PREFIX = "bench"
# From a minute to a month.
PERIODS = (60, 3600, 86400, 600, 7 * 86400, 1800, 43200, 31 * 86400)
ALL = ("apiguard", "DRF", "limits")

Ask = Callable[[str], bool]


def missing_peers() -> list[str]:
    """The distributions that must be installed before anything is measured."""
    names = {"limits": "limits", "rest_framework": "djangorestframework"}
    return [name for module, name in names.items() if find_spec(module) is None]


def windows(number: int, amount: int) -> tuple[Limit, ...]:
    """The first ``number`` limits of ``amount`` units each."""
    return tuple(
        Limit(pk, f"every-{period}", "window", amount, period)
        for pk, period in enumerate(PERIODS[:number], 1)
    )


def connect(url: str, seconds: float = 10) -> Any:
    """A client with timeouts and without retries; ``cluster://`` for a cluster."""
    options = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    if url.startswith("cluster://"):
        kind, url = RedisCluster, url.replace("cluster://", "redis://")
    else:
        kind = Redis
    return kind.from_url(url, retry=Retry(NoBackoff(), 0), **options)


def limiter(name: str, url: str, number: int, amount: int) -> Ask:
    """A function that asks whether one more request of a principal is admitted."""
    return {"apiguard": _apiguard, "DRF": _drf, "limits": _limits}[name](url, number, amount)


def _apiguard(url: str, number: int, amount: int) -> Ask:
    client, limits = connect(url), windows(number, amount)
    counter = RedisCounter(lambda: client, PREFIX)
    return lambda principal: counter.check(LimitCheck(principal, limits, 1)).allowed


def _drf(url: str, number: int, amount: int) -> Ask:
    import django
    from django.conf import settings

    if not settings.configured:
        cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url}
        settings.configure(CACHES={"default": cache}, INSTALLED_APPS=["rest_framework"])
        django.setup()
    from rest_framework.throttling import SimpleRateThrottle

    class Throttle(SimpleRateThrottle):
        def __init__(self, period: int) -> None:
            self.period, self.rate = period, "as parsed below"
            super().__init__()

        def parse_rate(self, rate: str) -> tuple[int, int]:
            return amount, self.period

        def get_cache_key(self, request: str, view: None) -> str:
            return f"{PREFIX}-{self.period}-{request}"

    def ask(principal: str) -> bool:
        # As DRF does: one object per request and throttle.
        return all(Throttle(period).allow_request(principal, None) for period in PERIODS[:number])

    return ask


def _limits(url: str, number: int, amount: int) -> Ask:
    from limits import RateLimitItemPerSecond
    from limits.storage import RedisStorage
    from limits.strategies import MovingWindowRateLimiter

    strategy = MovingWindowRateLimiter(RedisStorage(url))
    items = [RateLimitItemPerSecond(amount, period, PREFIX) for period in PERIODS[:number]]
    return lambda principal: all(strategy.hit(item, principal) for item in items)
