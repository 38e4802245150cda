"""The context of a DRF request: the middleware's, or one made on the spot."""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from .. import conf
from ..policy.holder import PolicyUnavailable, holder
from ..policy.records import KeyRecord
from ..policy.snapshot import Snapshot, empty
from ..request import pipeline, recording
from ..request.context import GuardContext
from ..request.effects import run
from ..request.facts import facts_of
from ..request.request_id import ids_of
from ..request.usage import record_usage
from ..request.verdict import Outcome, Verdict
from ..telemetry.buffer import buffer

logger = logging.getLogger("apiguard.request")


class RequestRefused(APIException):
    """A verdict of ours on its way through DRF's exception handling.

    ``auth_header`` and ``wait`` are what DRF's own handler looks for, so that
    challenge and ``Retry-After`` are sent whichever handler is installed.
    ``recorded``: word of it is left already.
    """

    def __init__(self, verdict: Verdict, *, recorded: bool = False) -> None:
        refusal = verdict.refusal
        if refusal is None:
            raise ValueError("An admitting verdict is not an exception.")
        super().__init__(refusal.detail, refusal.error)
        self.verdict = verdict
        self.recorded = recorded
        self.status_code = refusal.status
        self.auth_header = dict(verdict.headers).get("WWW-Authenticate", "")
        if verdict.retry_after is not None:
            self.wait = verdict.retry_after


def django_request_of(request: Request) -> HttpRequest:
    """Return the request that DRF's request wraps.

    DRF has no public name for it, and its own documentation says ``_request``. What is
    set on DRF's request is not seen by middleware, nor by another view that
    the same request is passed on to.
    """
    django_request: HttpRequest = request._request
    return django_request


def context_of(request: Request) -> GuardContext:
    """What is known about this request so far.

    Raises:
        RequestRefused: the policy cannot be read.
    """
    django_request = django_request_of(request)
    context: GuardContext | None = getattr(django_request, "apiguard", None)
    if context is None:
        context = _context(django_request)
        django_request.apiguard = context  # type: ignore[attr-defined]
    return context


def authenticate(request: Request) -> GuardContext:
    """The same, with credentials and access judged if the middleware has not.

    Raises:
        RequestRefused: a credential of ours is bad, or the route wants another one.
    """
    context = context_of(request)
    if not context.identified:
        stages: tuple[pipeline.Stage, ...] = pipeline.IDENTIFYING
        if not getattr(context, "is_exempt", False):
            stages = (*pipeline.UNGUARDED, *stages)
        verdict = run(pipeline.judge(context, stages), context)
        if verdict.refused:
            refuse(context, verdict)
        if isinstance(context.auth, KeyRecord):
            buffer.used(context.auth.pk)
    return context


def refuse(context: GuardContext, verdict: Verdict) -> None:
    """Refuse, unless the route only observes.

    Raises:
        RequestRefused: the verdict, where it is enforced.
    """
    record_refusal(context, verdict)
    if context.route is None or context.enforced:
        raise RequestRefused(verdict, recorded=True)


def record_refusal(context: GuardContext, verdict: Verdict) -> None:
    """Leave word of a refusal, unless the middleware does when the request leaves."""
    if context.route is None or isinstance(context, _Alone):
        if context.route is not None:
            record_usage(context, verdict)
        recording.record_refusal(context, verdict)


def record_answer(context: GuardContext, status: int) -> None:
    """Leave word of a refusal of DRF's own, unless the middleware does."""
    if isinstance(context, _Alone) and context.route is not None:
        recording.record_answer(context, status, "the view")


class _Alone(GuardContext):
    """A context that no middleware completes.

    ``is_exempt``: whether the path is never touched, so that no block holds there.
    """

    is_exempt = False


def without_policy(request: Request) -> GuardContext:
    """A context to answer by where no policy can be read."""
    return _context(django_request_of(request), empty())


def _context(request: Any, snapshot: Snapshot | None = None) -> GuardContext:
    settings = conf.current()
    meta, path = request.META, request.path_info
    facts = facts_of(meta, request.method or "", settings, secure=request.scheme == "https")
    aside = not settings.enabled or settings.exempt_paths.find(path) is not None
    if snapshot is None:
        silent = facts.authorization is None and facts.api_key is None
        snapshot = empty() if aside and silent else _snapshot()
    # Where we stand aside what a view asks of credentials goes on; no route holds.
    route = None if aside else snapshot.routes.find(path)
    context = _Alone(facts, settings, snapshot, route, ids_of(meta, settings).request_id)
    context.path = path
    context.counted = context.is_exempt = aside  # Then nothing is.
    return context


def _snapshot() -> Snapshot:
    try:
        return holder.ready() or holder.snapshot() or empty()
    except PolicyUnavailable as error:
        # Why was said once, where policy is read.
        logger.debug("No policy can be read, so nothing can be judged: 503.")
        verdict = Verdict(Outcome.POLICY_UNAVAILABLE, retry_after=1)
        raise RequestRefused(verdict, recorded=True) from error
