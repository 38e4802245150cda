"""Explain what the guard would answer to a request, and change nothing by it.

The stages are those of ``pipeline``, driven by ``effects.peek``: rows may be read;
nothing is counted, remembered, re-hashed or fetched from the network, and no failed
credential is recorded. Limits are decided as if the request were admitted.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from functools import partial
from typing import Any

from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse

from .. import conf
from ..policy.holder import PolicyUnavailable, holder
from ..policy.records import KeyRecord
from ..policy.snapshot import Snapshot
from . import pipeline, response
from .access import check_access, check_address, check_route
from .content import check_content
from .context import GuardContext
from .cors import check_origin
from .credentials import verify_assumed_key, verify_credential
from .effects import ClaimLookUp, Effect, FetchIssuerKeys, LookUpKey, Steps, peek, run
from .explanation import (
    Caller,
    Explanation,
    Result,
    Step,
    describe_caller,
    describe_limits,
)
from .facts import facts_of, host_of
from .keys import judge_record
from .limits import check_limits, is_uncounted
from .passes import describe_pass
from .reasons import Reason, find_reason, route_row
from .request_id import ids_of
from .verdict import Header, Outcome, Verdict

MIDDLEWARE = "apiguard.middleware.ApiGuardMiddleware"
# A real request has an id of its own.
REQUEST_ID = "explained"

STAGE_NAMES = {
    check_address: "address",
    check_origin: "cors",
    check_content: "content",
    verify_credential: "credentials",
    check_route: "policy",
    check_limits: "limits",
    check_access: "access",
}


def explain_request(
    request: HttpRequest,
    *,
    records: Sequence[KeyRecord] = (),
    view_response: HttpResponse | None = None,
) -> Explanation:
    """Return what the guard would do with a request that no middleware has seen.

    Args:
        records: keys of a client; the request is judged as if it brought the first of
            them that is valid. Without them, by the credential that it brings.
        view_response: what the view answers if it is reached; changed in place. Without
            it, an empty JSON response.
    """
    settings = conf.current()
    if not settings.enabled:
        return _unguarded(request, "APIGUARD['ENABLED'] is False: nothing is guarded")
    if settings.exempt_paths.find(request.path_info):
        return _unguarded(request, "the path is one of EXEMPT_PATHS: it is never touched")
    try:
        snapshot = holder.ready() or holder.snapshot()
    except PolicyUnavailable:
        return _without_policy(request, settings)
    if snapshot is None:
        return _unguarded(request, "apiguard's tables do not exist: nothing is guarded")
    context = _context(request, settings, snapshot, is_assumed=bool(records))
    record = next((each for each in records if judge_record(each, context) is None), None)
    judging = _Judging(context, record or next(iter(records), None))
    judging.judge()
    return judging.explain(request, view_response or HttpResponse(content_type="application/json"))


def _context(
    request: HttpRequest, settings: conf.Settings, snapshot: Snapshot, *, is_assumed: bool
) -> GuardContext:
    route = snapshot.routes.find(request.path_info)
    facts = facts_of(
        request.META,
        request.method or "",
        settings,
        secure=request.is_secure(),
        host=host_of(request) if route is not None else "",
    )
    if is_assumed:
        facts = facts._replace(authorization=None, api_key="")
    is_given = settings.request_id_meta in request.META
    this_id = ids_of(request.META, settings).request_id if is_given else REQUEST_ID
    return GuardContext(facts, settings, snapshot, route, this_id)


class _Judging:
    """One run of the stages, with what each of them decided."""

    def __init__(self, context: GuardContext, record: KeyRecord | None) -> None:
        self.context = context
        self.assumed = self.record = record
        self.steps: list[Step] = []
        self.unknowns: list[str] = []
        self.is_answered = self.is_at_view = False

    def judge(self) -> None:
        """Run all stages that the middleware would run, those at the view included."""
        context = self.context
        order = pipeline.UNGUARDED if context.route is None else pipeline.STAGES
        stages = tuple(map(self._watched, order))
        self._note_end(run(pipeline.judge(context, stages), context, self._peek))
        reached = {step.stage for step in self.steps}
        for name in map(_stage_name, order):
            if name not in reached:
                self.steps.append(Step(name, "not_reached", ""))
        # The address is judged before the path is.
        self.steps.insert(1, Step("route", "passed", _route_text(context), route_row(context)))
        if context.route is None:
            return
        if not self.is_answered and is_uncounted(context):
            self.is_at_view = True
            verdict = run(pipeline.judge_at_view(context, None), context, self._peek)
            self.steps.append(self._step("view_limits", verdict if verdict.refused else None))
            self._note_end(verdict)

    def _note_end(self, verdict: Verdict) -> None:
        ends = verdict.refused or verdict.outcome is Outcome.PREFLIGHT_ANSWERED
        self.is_answered = ends and self.context.enforced

    def _watched(self, stage: pipeline.Stage) -> pipeline.Stage:
        name, judge = _stage_name(stage), stage
        if self.assumed is not None and stage is verify_credential:
            judge = partial(verify_assumed_key, self.assumed)

        def watched(context: GuardContext) -> Steps[Verdict | None]:
            judged = judge(context)
            verdict = (yield from judged) if isinstance(judged, Generator) else judged
            self.steps.append(self._step(name, verdict))
            return verdict

        return watched

    def _step(self, name: str, verdict: Verdict | None) -> Step:
        context = self.context
        if verdict is None or not verdict.refused:
            is_answer = verdict is not None and context.enforced
            reason = describe_pass(name, context)
            outcome = "" if verdict is None else str(verdict.outcome)
            return Step(name, "answered" if is_answer else "passed", *reason, outcome)
        reason = find_reason(context, verdict, self.record)
        result: Result = "refused" if context.enforced else "would_refuse"
        return Step(name, result, *reason, str(verdict.outcome))

    def _peek(self, effect: Effect, context: GuardContext) -> Any:
        answer = peek(effect, context)
        if isinstance(effect, LookUpKey) and isinstance(answer, KeyRecord):
            self.record = answer
        elif isinstance(effect, ClaimLookUp) and not answer:
            self.unknowns.append(
                "Whether this key exists: it is not looked up, because its address sent too "
                "many bad credentials."
            )
        elif isinstance(effect, FetchIssuerKeys):
            self.unknowns.append(
                f"Whether issuer {effect.issuer.name} has published the token's key since its "
                "keys were last fetched: the guard would fetch them, an explanation does not."
            )
        return answer

    def explain(self, request: HttpRequest, answer: HttpResponse) -> Explanation:
        """Return all of it, with the response that leaves if the view answers ``answer``."""
        context = self.context
        verdict, route = context.verdict, context.route
        context.reached_view = not self.is_answered
        if self.is_answered:
            answer = response.refuse(context, verdict)
        before = {} if self.is_answered else dict(answer.headers.items())
        if context.enforced:
            response.finish(request, context, answer)
        answer.headers[context.settings.request_id_header] = context.request_id
        return Explanation(
            method=request.method or "",
            path=request.path_info,
            revision=context.snapshot.revision,
            route=route_row(context),
            mode="" if route is None else route.mode,
            steps=tuple(self.steps),
            outcome=str(verdict.outcome),
            refused=verdict.refused and context.enforced,
            would_refuse=verdict.refused,
            status=answer.status_code if self.is_answered else None,
            headers=_changed(before, answer.headers.items()),
            body=answer.content.decode() if self.is_answered else "",
            caller=describe_caller(context),
            limits=describe_limits(context),
            unknowns=(*self.unknowns, *self._find_unknowns()),
        )

    def _find_unknowns(self) -> Iterable[str]:
        """Yield what only the real request would show."""
        context = self.context
        if MIDDLEWARE not in django_settings.MIDDLEWARE:
            yield (
                "The middleware is not in MIDDLEWARE: only views with apiguard's REST framework "
                "classes are guarded, in REST framework's order."
            )
        route = context.route
        if route is not None and (context.identified or context.counted):
            yield (
                "What other processes remember: failed credentials, denials, units that they have "
                "reserved (they count as used, and unused ones return), and what they count in "
                "memory while there is no shared store."
            )
        if self.is_answered:
            if self.is_at_view:
                yield "Headers that other middleware adds to a refusal at the view."
            return
        yield (
            "What the view answers: whether there is one (404), its own permissions and throttles, "
            "the CSRF check, and what other middleware does."
        )
        if route is None:
            return
        if context.facts.unknown_length:
            yield "How long the body is: without Content-Length it is read before the view runs."
        if route.access == "application" and context.credential is None:
            yield (
                "Who is signed in: a session's user is counted in the tier for users, "
                "not by address."
            )


def _stage_name(stage: Any) -> str:
    return STAGE_NAMES.get(stage) or str(getattr(stage, "__name__", stage)).removeprefix("check_")


def _changed(before: dict[str, str], after: Iterable[Header]) -> tuple[Header, ...]:
    return tuple((name, value) for name, value in after if before.get(name) != value)


def _route_text(context: GuardContext) -> str:
    route = context.route
    if route is None:
        return "no route guards this path"
    text = f"{route.prefix} is the longest prefix of a route that fits the path"
    return text if route.enforced else f"{text}; it only observes, so nothing is refused"


def _unguarded(request: HttpRequest, reason: str) -> Explanation:
    return _whole(request, Step("route", "passed", reason), None, HttpResponse())


def _without_policy(request: HttpRequest, settings: conf.Settings) -> Explanation:
    reason = Reason("no policy can be read, so nobody knows what is guarded")
    step = Step("route", "refused", *reason, str(Outcome.POLICY_UNAVAILABLE))
    answer = response.unavailable(REQUEST_ID, settings)
    answer.headers[settings.request_id_header] = REQUEST_ID
    return _whole(request, step, answer.status_code, answer)


def _whole(
    request: HttpRequest, step: Step, status: int | None, answer: HttpResponse
) -> Explanation:
    is_answered = status is not None
    return Explanation(
        method=request.method or "",
        path=request.path_info,
        revision=None,
        route=None,
        mode="",
        steps=(step,),
        outcome=step.outcome or str(Outcome.ADMITTED),
        refused=is_answered,
        would_refuse=is_answered,
        status=status,
        headers=tuple(answer.headers.items()) if is_answered else (),
        body=answer.content.decode() if is_answered else "",
        caller=Caller(""),
        limits=(),
        unknowns=() if is_answered else ("What the view answers.",),
    )
