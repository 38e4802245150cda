"""Three limits with DRF's throttles: one subclass and one scope each, as DRF's guide has it."""

from __future__ import annotations

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
