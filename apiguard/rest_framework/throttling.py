"""``DEFAULT_THROTTLE_CLASSES``: the tiers of the desk instead of rates in settings."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from .. import conf
from ..request import limits, pipeline
from ..request.context import GuardContext
from ..request.effects import Steps, run
from ..request.users import signed_in_user
from ..request.verdict import Verdict
from .context import authenticate, refuse


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
        context = authenticate(request)
        if not context.counted:
            verdict = pipeline.concluded(context, run(_count(context, request), context))
            if verdict.refused:
                refuse(context, verdict)
        return True


def _count(context: GuardContext, request: Request) -> Steps[Verdict | None]:
    if context.credential is not None:
        return (yield from limits.check_limits(context))
    return (yield from limits.check_user_limits(context, signed_in_user(request)))
