"""``DEFAULT_THROTTLE_CLASSES``: the tiers of the desk instead of rates in settings."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from .. import conf
from ..request import limits, pipeline
from ..request.doors import signed_in_user
from ..request.effects import Steps, run
from ..request.passage import Passage
from ..request.verdict import Verdict
from .adopt import identified, refuse


class TierThrottle(BaseThrottle):
    """Counts a request once, by client, token subject, user or address.

    Where the middleware has counted it, nothing is counted here.
    """

    counts_tiers = True

    def allow_request(self, request: Request, view: Any) -> bool:
        """True, or an exception that says how long to wait.

        Raises:
            Refused: a limit is exceeded, or its policy is broken.
        """
        if not conf.current().enabled:
            return True
        passage = identified(request)
        if not passage.counted:
            verdict = pipeline.concluded(passage, run(_count(passage, request), passage))
            if verdict.refused:
                refuse(passage, verdict)
        return True


def _count(passage: Passage, request: Request) -> Steps[Verdict | None]:
    if passage.credential is not None:
        return (yield from limits.judge(passage))
    return (yield from limits.judge_user(passage, signed_in_user(request)))
