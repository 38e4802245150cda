"""Door 1: guards any Django view, synchronous or asynchronous.

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
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from . import conf
from .caching import current_guard
from .policy.holder import PolicyUnavailable, holder
from .policy.records import KeyRecord
from .policy.snapshot import Snapshot
from .request import body, django_private, pipeline, response
from .request.doors import counts_itself, signed_in_user
from .request.effects import Steps, perform, recall, run
from .request.facts import facts_of, host_of
from .request.passage import Passage
from .request.request_id import current_ids, ids_of
from .request.verdict import Outcome, Verdict
from .telemetry import proxies, refusals
from .telemetry.buffer import buffer

logger = logging.getLogger("apiguard.request")

View = Callable[..., Any]


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
            return cast("HttpResponseBase", self.get_response(request))
        call = self._call_async if self.is_async else self._call
        return call(request, settings)

    # -- the two ways of waiting ------------------------------------------------

    def _call(self, request: HttpRequest, settings: conf.Settings) -> HttpResponseBase:
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
            passage = _passage(request, settings, snapshot, this_id)
            early = None
            if passage.route is not None:
                early = _early(request, passage, run(pipeline.before_view(passage), passage))
            answer = early or cast("HttpResponseBase", self.get_response(request))
            late = run(_count_late(passage), passage) if _is_uncounted(passage) else None
            return _leave(request, passage, answer, late)
        finally:
            current_guard.reset(guard_token)
            current_ids.reset(token)

    async def _call_async(self, request: HttpRequest, settings: conf.Settings) -> HttpResponseBase:
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
            passage = _passage(request, settings, snapshot, this_id)
            early = None
            if passage.route is not None:
                verdict = await _run_async(pipeline.before_view(passage), passage)
                early = _early(request, passage, verdict)
            answer = early or cast("HttpResponseBase", await self.get_response(request))
            late = None
            if _is_uncounted(passage):
                late = await _run_async(_count_late(passage), passage)
            return _leave(request, passage, answer, late)
        finally:
            current_guard.reset(guard_token)
            current_ids.reset(token)

    # -- hooks ------------------------------------------------------------------

    def process_view(
        self, request: HttpRequest, view: View, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """Hand over who is calling; count who was not identified."""
        passage: Passage | None = getattr(request, "apiguard", None)
        if passage is None or not _is_counted_here(passage, request, view):
            return None
        verdict = run(pipeline.at_view(passage, signed_in_user(request)), passage)
        return _early(request, passage, verdict)

    async def _process_view_async(
        self, request: HttpRequest, view: View, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        passage: Passage | None = getattr(request, "apiguard", None)
        if passage is None or not _is_counted_here(passage, request, view):
            return None
        # Reading the session is synchronous, and may touch the database.
        user_pk = await sync_to_async(signed_in_user)(request)
        verdict = await _run_async(pipeline.at_view(passage, user_pk), passage)
        return _early(request, passage, verdict)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Remember it for the body of the response; Django goes on handling it."""
        passage = getattr(request, "apiguard", None)
        if passage is not None:
            passage.exception = exception


async def _run_async(steps: Steps[Any], passage: Passage) -> Any:
    """As ``effects.run``, with a thread for every effect that memory cannot answer."""
    try:
        effect = next(steps)
        while True:
            answer = recall(effect, passage)
            if answer is None:
                answer = await sync_to_async(perform)(effect, passage)
            effect = steps.send(answer)
    except StopIteration as stop:
        return stop.value


def _passage(
    request: HttpRequest, settings: conf.Settings, snapshot: Snapshot, this_id: str
) -> Passage:
    route = snapshot.routes.find(request.path_info)
    guarded = route is not None
    facts = facts_of(
        request.META,
        request.method or "",
        settings,
        secure=request.is_secure(),
        # What only Django's request can tell, and only guarded paths need to know.
        host=host_of(request) if guarded else "",
        unannounced=guarded and body.is_unannounced(request),
    )
    passage = Passage(facts, settings, snapshot, route, this_id)
    request.apiguard = passage  # type: ignore[attr-defined]
    current_guard.set(passage)
    return passage


def _early(request: HttpRequest, passage: Passage, verdict: Verdict) -> HttpResponseBase | None:
    """The response that a verdict already is; ``None`` lets the request go on."""
    if not passage.enforced:
        return None
    if verdict.refused or verdict.outcome is Outcome.PREFLIGHT_ANSWERED:
        return response.refuse(passage, verdict)
    too_long = body.read(request, passage) if not passage.reached_view else None
    if too_long is not None:
        passage.verdict = too_long
        return response.refuse(passage, too_long)
    return None


def _is_counted_here(passage: Passage, request: HttpRequest, view: View) -> bool:
    """Note that a view was found, and who calls it; whether somebody is still to be counted."""
    if passage.route is None:
        return False
    passage.reached_view = True
    if passage.credential is not None and passage.enforced:
        _hand_over(request, passage.credential.user)
    return _is_uncounted(passage) and not counts_itself(view)


def _is_uncounted(passage: Passage) -> bool:
    route = passage.route
    if passage.counted or route is None or route.access != "application":
        return False
    return route.user_tier is not None or route.anonymous_tier is not None


async def _auser(user: Any) -> Any:
    return user


def _hand_over(request: HttpRequest, user: Any) -> None:
    request.user = user
    request.auser = partial(_auser, user)
    # A header credential is not ambient: no other site can make a browser send it.
    django_private.exempt_from_csrf(request)


def _count_late(passage: Passage) -> Steps[Verdict | None]:
    """Count by address what never reached whoever would have counted it."""
    if passage.verdict.refused:
        return None
    return (yield from pipeline.at_view(passage, None))


def _leave(
    request: HttpRequest, passage: Passage, answer: HttpResponseBase, late: Verdict | None
) -> HttpResponseBase:
    """Complete the response that leaves."""
    # What a view has done is not taken back: its client would do it again.
    undone = not passage.reached_view or answer.status_code in (401, 403)
    if late is not None and late.refused and passage.enforced and undone:
        unsent, answer = answer, response.refuse(passage, late)
        django_private.take_over_closers(answer, unsent)
    if passage.spool is not None:
        django_private.close_with(answer, passage.spool.close)
    if passage.enforced:
        response.finish(request, passage, answer)
    answer.headers[passage.settings.request_id_header] = passage.request_id
    _tell(passage)
    return answer


def _tell(passage: Passage) -> None:
    """Leave word of what happened, for people; nothing here waits."""
    credential, decision, verdict = passage.credential, passage.decision, passage.verdict
    if credential is not None and isinstance(credential.auth, KeyRecord):
        buffer.used(credential.auth.pk)
    if decision is not None:
        for one in decision.shadow_violated:
            buffer.shadow(one.limit.pk, passage.principal)
    if passage.facts.came_through_a_stranger(passage.settings):
        proxies.note(passage.facts.remote_addr)
    route = passage.route
    if verdict.refused and route is not None:
        buffer.refused(route.pk, verdict.outcome, verdict.enforced)
        refusals.log(
            route=route.name,
            outcome=verdict.outcome,
            reason=verdict.reason,
            request_id=passage.request_id,
            principal=passage.principal,
            enforced=verdict.enforced,
        )


def _without_policy(this_id: str, settings: conf.Settings) -> HttpResponseBase:
    # Why was said once, where policy is read.
    logger.debug("No policy can be read, so nothing can be judged: 503.")
    answer = response.unavailable(this_id, settings)
    answer.headers[settings.request_id_header] = this_id
    return answer
