"""The limiters that are measured side by side, each called as its own documentation says.

All count in the same Redis: apiguard's counter, DRF's ``SimpleRateThrottle`` on
a django-redis cache, the ``limits`` library's moving window, and the sliding window of
django-smart-ratelimit.
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
SMART = "django-smart-ratelimit"
ALL = ("apiguard", "DRF", "limits", SMART)

Ask = Callable[[str], bool]


def missing_peers() -> list[str]:
    """The distributions that must be installed before anything is measured."""
    names = {
        "limits": "limits",
        "rest_framework": "djangorestframework",
        "django_smart_ratelimit": SMART,
    }
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
    makers = {"apiguard": _apiguard, "DRF": _drf, "limits": _limits, SMART: _smart}
    return makers[name](url, number, amount)


def _apiguard(url: str, number: int, amount: int) -> Ask:
    client, limits = connect(url), windows(number, amount)
    counter = RedisCounter(lambda: client, PREFIX)
    return lambda principal: counter.check(LimitCheck(principal, limits, 1)).allowed


def _drf(url: str, number: int, amount: int) -> Ask:
    _set_up_django(url)
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


def _smart(url: str, number: int, amount: int) -> Ask:
    _set_up_django(url)
    from django_smart_ratelimit.backends import get_backend

    def ask(principal: str) -> bool:
        # As its DRF throttle does: the backend each time, and no limit after one that refuses.
        return all(
            get_backend("redis").incr(f"{PREFIX}-{period}-{principal}", period) <= amount
            for period in PERIODS[:number]
        )

    return ask


def _set_up_django(url: str) -> None:
    import django
    from django.conf import settings

    if settings.configured:
        return
    settings.configure(
        CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url}},
        INSTALLED_APPS=["rest_framework"],
        RATELIMIT_BACKEND="redis",
        RATELIMIT_REDIS={"url": url},
    )
    django.setup()
