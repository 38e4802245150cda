"""``DEFAULT_THROTTLE_CLASSES``: tiers of the admin instead of rates in settings."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from .. import conf
from ..request.at_view import count
from .context import django_request_of, raising_for_drf


class TierThrottle(BaseThrottle):
    """Counts a request once, by client, token subject, user or address.

    Where the middleware has counted it, nothing is counted here.
    """

    counts_tiers = True

    def allow_request(self, request: Request, view: Any) -> bool:
        """True, or an exception that says how long to wait.

        Raises:
            RequestRefused: a limit is exceeded, or its policy is broken.
        """
        if not conf.current().enabled:
            return True
        with raising_for_drf():
            count(django_request_of(request), request)
        return True
