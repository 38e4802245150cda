"""Three limits with DRF's throttles, and with those of django-smart-ratelimit.

One subclass and one scope each, as DRF's guide has it.
"""

from __future__ import annotations

from typing import Any

from django_smart_ratelimit.integrations import drf
from rest_framework.throttling import UserRateThrottle


class PerMinute(UserRateThrottle):
    """By user; by address where nobody is signed in."""

    scope = "minute"


class PerHour(UserRateThrottle):
    """As above."""

    scope = "hour"


class PerDay(UserRateThrottle):
    """As above."""

    scope = "day"


class _Smart(drf.UserRateLimitThrottle):
    """Counts each scope by itself: the package's own key does not name it."""

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        key = super().get_cache_key(request, view)
        return key and f"{self.scope}:{key}"


class SmartPerMinute(_Smart):
    """By user; by address where nobody is signed in."""

    scope = "minute"


class SmartPerHour(_Smart):
    """As above."""

    scope = "hour"


class SmartPerDay(_Smart):
    """As above."""

    scope = "day"
