"""What classes at the view need: the middleware's context, or one made on the spot.

Django REST framework, django-ninja and the decorators for plain views judge a request
where the middleware has not. They drive the same stages and raise ``RequestRefused``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from django.http import HttpRequest, HttpResponse

from .. import conf
from ..policy.holder import PolicyUnavailable, holder
from ..policy.records import KeyRecord
from ..policy.snapshot import Snapshot, empty
from ..telemetry.buffer import buffer
from . import pipeline, recording, response
from .access import no_credential, scope_missing
from .context import GuardContext
from .effects import run
from .facts import facts_of
from .request_id import ids_of
from .settlement import ViewContext
from .usage import record_usage
from .users import signed_in_user
from .verdict import Outcome, Verdict

logger = logging.getLogger("apiguard.request")


class RequestRefused(Exception):
    """A refusal on its way to whatever turns it into a response.

    ``recorded``: whether it stands in the log and the counts already.
    """

    def __init__(self, verdict: Verdict, *, recorded: bool) -> None:
        super().__init__(verdict.outcome)
        self.verdict, self.recorded = verdict, recorded


class ContextAtView(ViewContext):
    """A context that no middleware completes.

    ``is_exempt``: whether the path is never touched, so that no block holds there.
    """

    is_exempt = False
    is_completed = False


def context_of(request: HttpRequest) -> GuardContext:
    """Return what is known about this request so far.

    Raises:
        RequestRefused: the policy cannot be read.
    """
    context: GuardContext | None = getattr(request, "apiguard", None)
    if context is None:
        context = _context(request)
        request.apiguard = context  # type: ignore[attr-defined]
    return context


def authenticate(request: HttpRequest) -> GuardContext:
    """Return the same, with credentials and access judged if the middleware has not.

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
            buffer.used(context.auth.pk, context.network)
    return context


def count(request: HttpRequest, user_request: object = None, cost: int = 0) -> GuardContext:
    """Count the request in its tier, unless it is counted already.

    Args:
        user_request: what has the signed-in user, where that is not ``request`` itself.
        cost: what the request costs in all, where that is more than its route says.

    Raises:
        RequestRefused: a limit is exceeded, or its policy is broken.
    """
    context = authenticate(request)
    if not context.counted:
        user_pk = signed_in_user(request if user_request is None else user_request)
        verdict = run(pipeline.judge_at_view(context, user_pk), context)
        if verdict.refused:
            refuse(context, verdict)
    more = cost - (1 if context.route is None else context.route.cost)
    if more > 0:
        verdict = run(pipeline.judge_more(context, more), context)
        if verdict.refused:
            refuse(context, verdict)
    return context


def refusal_of(request: HttpRequest, check: Callable[[HttpRequest], object]) -> HttpResponse | None:
    """Return the response of a check that refuses, else None; for views without a framework."""
    try:
        check(request)
    except RequestRefused as refused:
        return answer(request, refused.verdict, recorded=refused.recorded)
    return None


def answer(request: HttpRequest, verdict: Verdict, *, recorded: bool) -> HttpResponse:
    """Return the response of a refusal, and record it if it is not recorded yet."""
    context: GuardContext | None = getattr(request, "apiguard", None)
    if context is None:
        context = without_policy(request)
    if not recorded:
        record_refusal(context, verdict)
    if not context.verdict.refused:
        context.verdict = verdict
    refusal = response.refuse(context, verdict)
    refusal.headers[context.settings.request_id_header] = context.request_id
    return refusal


def require_scopes(
    request: HttpRequest, scopes: Collection[str], *, is_signed_in: bool = False
) -> GuardContext:
    """Refuse a caller who lacks one of ``scopes``, whatever the mode of the route is.

    Args:
        is_signed_in: whether the project has authenticated somebody by other means.

    Raises:
        RequestRefused: 401 for nobody, 403 for a credential that lacks a scope.
    """
    context = authenticate(request)
    if context.credential is None and not is_signed_in:
        context.is_wanted_by_view = True
        raise RequestRefused(no_credential(context), recorded=False)
    missing = set(scopes) - context.scopes
    if missing:
        raise RequestRefused(scope_missing(context, scopes, missing), recorded=False)
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
    """Record a refusal, unless the middleware does when the response leaves."""
    if context.route is None or isinstance(context, ContextAtView):
        if context.route is not None:
            record_usage(context, verdict)
        recording.record_refusal(context, verdict)


def record_answer(context: GuardContext, status: int) -> None:
    """Record a refusal of the view's own, unless the middleware does."""
    if isinstance(context, ContextAtView) and context.route is not None:
        recording.record_answer(context, status, "the view")


def without_policy(request: HttpRequest) -> GuardContext:
    """Return a context to answer by where no policy can be read."""
    return _context(request, empty())


def _context(request: HttpRequest, snapshot: Snapshot | None = None) -> GuardContext:
    settings = conf.current()
    meta, path = request.META, request.path_info
    facts = facts_of(meta, request.method or "", settings, secure=request.scheme == "https")
    aside = not settings.enabled or settings.exempt_paths.find(path) is not None
    if snapshot is None:
        silent = facts.authorization is None and facts.api_key is None
        snapshot = empty() if aside and silent else _snapshot()
    # Where we stand aside what a view asks of credentials goes on; no route holds.
    route = None if aside else snapshot.routes.find(path)
    request_id = ids_of(meta, settings).request_id
    context = ContextAtView(facts, settings, snapshot, route, request_id)
    context.path = path
    context.counted = context.is_exempt = aside  # Then nothing is.
    return context


def _snapshot() -> Snapshot:
    try:
        return holder.ready() or holder.snapshot() or empty()
    except PolicyUnavailable as error:
        # The holder has logged the reason.
        logger.debug("No policy can be read, so nothing can be judged: 503.")
        verdict = Verdict(Outcome.POLICY_UNAVAILABLE, retry_after=1)
        raise RequestRefused(verdict, recorded=True) from error
