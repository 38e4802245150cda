"""The order of the stages. It is a security property, and it is written here alone.

An address that is blocked is refused before anything else is checked. A
preflight carries no credentials, so it is answered next. Cheap rules come
before anything that costs a look-up. Credentials come before limits, because
only a verified credential says who is counted; limits come before access, so
that a request without a credential is counted too.

A stage is a function of the request's context that returns a verdict, or None
where it has no objection; one that needs something from outside yields an
effect. It changes nothing but the context.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

from .access import check_access, check_address, check_route
from .content import check_content
from .context import GuardContext
from .cors import check_origin
from .credentials import verify_credential
from .effects import Steps
from .limits import check_limits, check_more, check_user_limits
from .verdict import ADMITTED, OBSERVED, Verdict

Stage = Callable[[GuardContext], Steps[Verdict | None] | Verdict | None]

STAGES: tuple[Stage, ...] = (
    check_address,
    check_origin,
    check_content,
    verify_credential,
    check_route,
    check_limits,
    check_access,
)
# Where no route guards the path.
UNGUARDED: tuple[Stage, ...] = (check_address,)
# Where only Django REST framework runs, it identifies the caller first and counts later.
IDENTIFYING = tuple(
    stage for stage in STAGES if stage in {verify_credential, check_route, check_access}
)


def stages_of(context: GuardContext) -> tuple[Stage, ...]:
    """Return the stages that judge this request; none where there is nothing to judge."""
    if context.route is not None:
        return STAGES
    return UNGUARDED if context.snapshot.blocks else ()


def judge(context: GuardContext, stages: tuple[Stage, ...] = STAGES) -> Steps[Verdict]:
    """Judge a request by these stages, in their order; the first objection decides."""
    verdict: Verdict | None = None
    for stage in stages:
        judged = stage(context)
        verdict = (yield from judged) if isinstance(judged, Generator) else judged
        if verdict is not None:
            break
    return conclude(context, verdict)


def judge_at_view(context: GuardContext, user_pk: object) -> Steps[Verdict]:
    """Count a request that is not counted yet, now that the project knows its user."""
    verdict = yield from check_user_limits(context, user_pk)
    return conclude(context, verdict)


def judge_late(context: GuardContext, user_pk: Any) -> Steps[Verdict | None]:
    """Count what was left for later, or never reached the view that would have counted it."""
    if context.verdict.refused:
        return None
    return (yield from judge_at_view(context, user_pk))


def judge_more(context: GuardContext, cost: int) -> Steps[Verdict]:
    """Count so much more of a request that is counted already."""
    verdict = yield from check_more(context, cost)
    return conclude(context, verdict)


def conclude(context: GuardContext, verdict: Verdict | None) -> Verdict:
    """Keep the verdict in the context; a refusal that is there already stays."""
    enforced = context.enforced
    if verdict is None:
        verdict = ADMITTED if enforced else OBSERVED
    elif verdict.enforced is not enforced:
        verdict = replace(verdict, enforced=enforced)
    if not context.verdict.refused:
        context.verdict = verdict
    return verdict
