"""Guards any Django view, synchronous or asynchronous.

Put ``apiguard.middleware.ApiGuardMiddleware`` first in ``MIDDLEWARE``. It is
one middleware because the order of its stages is a security property. Both
call paths drive the same stages; they differ only in how they wait.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import DisallowedHost, MiddlewareNotUsed
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.log import log_response

from . import conf
from .caching import current_guard, presented_digest
from .errors import LimitExceeded
from .policy.holder import PolicyUnavailable, holder
from .policy.snapshot import Snapshot
from .request import body, django_private, pipeline, response
from .request.access import RETRY_SECONDS
from .request.async_driver import limit_threads, run_async
from .request.context import GuardContext
from .request.effects import run
from .request.facts import facts_of, host_of, is_unannounced
from .request.header_changes import record_header_changes
from .request.limits import is_counted_now, is_uncounted, late_user
from .request.recording import REFUSED_BEHIND, record_answer, record_refusal
from .request.request_id import current_ids, ids_of
from .request.settlement import ViewContext
from .request.stopwatch import Stopwatch
from .request.usage import record_request
from .request.users import is_signed_in_beside, signed_in_user
from .request.verdict import Outcome, Verdict
from .telemetry.metrics import metrics

logger = logging.getLogger("apiguard.request")

View = Callable[..., Any]


def note_failure(sender: object, request: HttpRequest | None = None, **_: object) -> None:
    """Note that a middleware behind us raised: no hook is called for that, only the signal."""
    context: GuardContext | None = getattr(request, "apiguard", None)
    if context is not None:
        context.failed_behind = True


got_request_exception.connect(note_failure, dispatch_uid="apiguard.middleware")


class ApiGuardMiddleware:
    """Judges a request before any view runs, and completes every response."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        if not conf.current().enabled:
            raise MiddlewareNotUsed("APIGUARD['ENABLED'] is False.")
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
            # Django would send a synchronous hook through a thread each time.
            self.process_view = self._process_view_async  # type: ignore[method-assign, assignment]

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        settings = conf.current()
        if settings.exempt_paths.find(request.path_info):
            get = request.META.get
            presented = presented_digest(get("HTTP_AUTHORIZATION"), get(settings.api_key_meta))
            # Not reset: the next request of this thread sets it anew.
            current_guard.set(presented)
            return cast("HttpResponseBase", self.get_response(request))
        call = self._call_async if self.is_async else self._call
        return call(request, settings)

    # -- the two ways of waiting ------------------------------------------------

    def _call(self, request: HttpRequest, settings: conf.Settings) -> HttpResponseBase:
        stopwatch = Stopwatch() if settings.metrics else None
        ids = ids_of(request.META, settings)
        this_id, token = ids.request_id, current_ids.set(ids)
        guard_token = current_guard.set(None)
        try:
            try:
                snapshot = holder.ready() or holder.snapshot()
            except PolicyUnavailable:
                return _without_policy(this_id, settings)
            if snapshot is None:
                return cast("HttpResponseBase", self.get_response(request))
            context = _context(request, settings, snapshot, this_id)
            context.stopwatch = stopwatch
            try:
                answer = self._judge_and_answer(request, context)
                end_now = _hold_until_end(context, answer)
                if end_now is not None:
                    end_now()
            except BaseException:
                if context.holds is not None:
                    context.holds.abandon(reached_view=context.reached_view)
                raise
            return answer
        finally:
            current_guard.reset(guard_token)
            current_ids.reset(token)

    async def _call_async(self, request: HttpRequest, settings: conf.Settings) -> HttpResponseBase:
        stopwatch = Stopwatch() if settings.metrics else None
        ids = ids_of(request.META, settings)
        this_id, token = ids.request_id, current_ids.set(ids)
        guard_token = current_guard.set(None)
        try:
            try:
                snapshot = holder.ready() or await sync_to_async(holder.snapshot)()
            except PolicyUnavailable:
                return _without_policy(this_id, settings)
            if snapshot is None:
                return cast("HttpResponseBase", await self.get_response(request))
            context = _context(request, settings, snapshot, this_id)
            context.stopwatch = stopwatch
            try:
                answer = await self._judge_and_answer_async(request, context)
                end_now = _hold_until_end(context, answer)
                if end_now is not None:
                    await limit_threads.call(end_now)
            except BaseException:
                # A client that went away cancels this coroutine: no response will be closed.
                if context.holds is not None:
                    abandon = context.holds.abandon
                    limit_threads.start(partial(abandon, reached_view=context.reached_view))
                raise
            return answer
        finally:
            current_guard.reset(guard_token)
            current_ids.reset(token)

    def _judge_and_answer(self, request: HttpRequest, context: ViewContext) -> HttpResponseBase:
        early = None
        stages = pipeline.stages_of(context)
        if stages:
            verdict = run(pipeline.judge(context, stages), context)
            early = _short_circuit(request, context, verdict)
        if context.stopwatch is not None:
            context.stopwatch.pause()
        answer = early or cast("HttpResponseBase", self.get_response(request))
        if context.stopwatch is not None:
            context.stopwatch.resume()
        late = None
        if is_uncounted(context):
            late = run(pipeline.judge_late(context, late_user(request, context)), context)
        return _finalize(request, context, answer, late)

    async def _judge_and_answer_async(
        self, request: HttpRequest, context: ViewContext
    ) -> HttpResponseBase:
        early = None
        stages = pipeline.stages_of(context)
        if stages:
            verdict = await run_async(pipeline.judge(context, stages), context)
            early = _short_circuit(request, context, verdict)
        if context.stopwatch is not None:
            context.stopwatch.pause()
        answer = early or cast("HttpResponseBase", await self.get_response(request))
        if context.stopwatch is not None:
            context.stopwatch.resume()
        late = None
        if is_uncounted(context):
            # Without a user to read there is nothing to wait for.
            is_late = context.is_counted_late
            user_pk = await sync_to_async(late_user)(request, context) if is_late else None
            late = await run_async(pipeline.judge_late(context, user_pk), context)
        return _finalize(request, context, answer, late)

    # -- hooks ------------------------------------------------------------------

    def process_view(
        self, request: HttpRequest, view: View, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """Set the request's user; count a request that is not counted yet."""
        context: GuardContext | None = getattr(request, "apiguard", None)
        if context is None:
            return None
        if context.stopwatch is None:
            return self._at_view(request, context, view)
        with context.stopwatch.running():
            return self._at_view(request, context, view)

    def _at_view(
        self, request: HttpRequest, context: GuardContext, view: View
    ) -> HttpResponseBase | None:
        refusal = _refuse_rewritten(request, context)
        if refusal is not None or context.route is None:
            return refusal
        context.reached_view = True
        if _wants_user(context) and not _keeps_user(request, context):
            _set_user(request, context)
        if not is_counted_now(context, view):
            return None
        verdict = run(pipeline.judge_at_view(context, signed_in_user(request)), context)
        return _short_circuit(request, context, verdict)

    async def _process_view_async(
        self, request: HttpRequest, view: View, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        context: GuardContext | None = getattr(request, "apiguard", None)
        if context is None:
            return None
        if context.stopwatch is None:
            return await self._at_view_async(request, context, view)
        with context.stopwatch.running():
            return await self._at_view_async(request, context, view)

    async def _at_view_async(
        self, request: HttpRequest, context: GuardContext, view: View
    ) -> HttpResponseBase | None:
        refusal = _refuse_rewritten(request, context)
        if refusal is not None or context.route is None:
            return refusal
        context.reached_view = True
        # Reading the session is synchronous, and may touch the database.
        if _wants_user(context) and not await _keeps_user_async(request, context):
            _set_user(request, context)
        if not is_counted_now(context, view):
            return None
        user_pk = await sync_to_async(signed_in_user)(request)
        verdict = await run_async(pipeline.judge_at_view(context, user_pk), context)
        return _short_circuit(request, context, verdict)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        """Keep the exception for the body of the response; Django goes on handling it.

        A view that could not reserve what it needs is answered here.
        """
        context = getattr(request, "apiguard", None)
        if context is None:
            return None
        context.exception = exception
        if isinstance(exception, LimitExceeded) and isinstance(exception.verdict, Verdict):
            return response.refuse(context, pipeline.conclude(context, exception.verdict))
        return None


def _context(
    request: HttpRequest, settings: conf.Settings, snapshot: Snapshot, this_id: str
) -> ViewContext:
    route = snapshot.routes.find(request.path_info)
    guarded = route is not None
    facts = facts_of(
        request.META,
        request.method or "",
        settings,
        secure=request.is_secure(),
        # Only Django's request has these, and only guarded paths need them.
        host=host_of(request) if guarded else "",
        unannounced=guarded and is_unannounced(request),
    )
    context = ViewContext(facts, settings, snapshot, route, this_id)
    context.path = request.path_info
    request.apiguard = context  # type: ignore[attr-defined]
    current_guard.set(context)
    return context


def _short_circuit(
    request: HttpRequest, context: GuardContext, verdict: Verdict
) -> HttpResponseBase | None:
    """The response that a verdict already is; ``None`` lets the request go on.

    Last of all, before the view, comes the body: to read it is the most that a request costs.
    """
    if not context.enforced:
        return None
    if verdict.refused or verdict.outcome is Outcome.PREFLIGHT_ANSWERED:
        answer = response.refuse(context, verdict)
        if verdict.outcome is Outcome.HOST_NOT_ALLOWED:
            _log_disallowed_host(request, answer)
        return answer
    too_long = body.read(request, context) if not context.reached_view else None
    if too_long is not None:
        context.verdict = too_long
        return response.refuse(context, too_long)
    return None


def _log_disallowed_host(request: HttpRequest, answer: HttpResponse) -> None:
    """Log a host that ALLOWED_HOSTS lacks as Django does where no middleware is before it."""
    try:
        request.get_host()
    except DisallowedHost as error:
        log_response(
            str(error),
            request=request,
            response=answer,
            level="error",
            logger=logging.getLogger("django.security.DisallowedHost"),
        )


def _refuse_rewritten(request: HttpRequest, context: GuardContext) -> HttpResponseBase | None:
    """Refuse a request that another middleware moved under a route it was not judged by."""
    route = context.snapshot.routes.find(request.path_info)
    if route is None or route is context.route:
        return None
    judged_by = "no route" if context.route is None else f"route {context.route.name!r}"
    reason = f"a middleware moved the path under route {route.name!r}; it was judged by {judged_by}"
    logger.error("A request is refused: %s (request %s).", reason, context.request_id)
    if not route.enforced:
        return None
    verdict = Verdict(Outcome.PATH_REWRITTEN, reason=reason, retry_after=RETRY_SECONDS)
    context.verdict = verdict
    return response.refuse(context, verdict)


def _wants_user(context: GuardContext) -> bool:
    """Whether the credential may replace ``request.user``."""
    credential, route = context.credential, context.route
    if credential is None or route is None or not context.enforced:
        return False
    return credential.has_row or route.access != "application"


def _keeps_user(request: HttpRequest, context: GuardContext) -> bool:
    """Whether a credential without a user row leaves ``request.user`` to the session's user."""
    credential = context.credential
    return credential is not None and not credential.has_row and is_signed_in_beside(request)


async def _keeps_user_async(request: HttpRequest, context: GuardContext) -> bool:
    if context.credential is None or context.credential.has_row:
        return False
    return await sync_to_async(is_signed_in_beside)(request)


async def _auser(user: Any) -> Any:
    return user


def _set_user(request: HttpRequest, context: GuardContext) -> None:
    if context.credential is None:
        return
    user = request.user = context.credential.user
    request.auser = partial(_auser, user)
    # Now the session has no say; a header is nothing that another site makes a browser send.
    django_private.exempt_from_csrf(request)


def _finalize(
    request: HttpRequest, context: GuardContext, answer: HttpResponseBase, late: Verdict | None
) -> HttpResponseBase:
    """Complete the response that leaves."""
    # What a view has done is not taken back: its client would do it again.
    undone = not context.reached_view or answer.status_code in (401, 403)
    if late is not None and late.refused and context.enforced and undone:
        unsent, answer = answer, response.refuse(context, late)
        django_private.take_over_closers(answer, unsent)
    if context.spool is not None:
        django_private.close_with(answer, context.spool.close)
    if context.enforced:
        response.finish(request, context, answer)
    elif context.route is not None:
        record_header_changes(request, context, answer)
    answer.headers[context.settings.request_id_header] = context.request_id
    record_request(context)
    verdict = context.verdict
    if verdict.refused:
        record_refusal(context, verdict)
    elif answer.status_code in REFUSED_BEHIND and context.route is not None:
        record_answer(context, answer.status_code, _answered_by(request, context))
    if context.stopwatch is not None:
        context.stopwatch.pause()
        metrics().observe_guard(context.stopwatch.seconds)
    return answer


def _hold_until_end(context: GuardContext, answer: HttpResponseBase) -> Callable[[], None] | None:
    """Have what the request holds settled when it ends; return what is to be done before it leaves.

    A stream is in flight until it is closed. Any other response is complete, and the
    next request of its client must find the slot free.
    """
    holds = context.holds
    if holds is None:
        return None
    if not context.reached_view:
        return holds.give_back_all
    django_private.close_with(answer, holds.close)
    return None if answer.streaming else holds.free_slots


def _answered_by(request: HttpRequest, context: GuardContext) -> str:
    if not context.reached_view:
        return "another middleware"
    if response.was_stopped_by_csrf_check(request):
        return "Django's CSRF check"
    return "the view"


def _without_policy(this_id: str, settings: conf.Settings) -> HttpResponseBase:
    # The holder has logged the reason.
    logger.debug("No policy can be read, so nothing can be judged: 503.")
    answer = response.unavailable(this_id, settings)
    answer.headers[settings.request_id_header] = this_id
    return answer
