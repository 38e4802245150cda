"""The order of the stages. It is a security property, and it stands here alone.

A preflight carries no credentials, so it is answered first. Cheap rules come
before anything that costs a look-up. Credentials come before limits, because
only a verified credential says who is counted; limits come before access, so
that asking without a credential is counted too.
"""

from __future__ import annotations

from dataclasses import replace

from . import access, content, cors, credentials, limits, route
from .context import GuardContext
from .effects import Steps
from .verdict import ADMITTED, OBSERVED, Verdict


def before_view(context: GuardContext) -> Steps[Verdict]:
    """Judge a request as far as that can be done before any view is known."""
    verdict = cors.check_origin(context) or content.check_content(context)
    if verdict is None:
        verdict = yield from credentials.verify_credential(context)
    verdict = verdict or route.check_route(context)
    if verdict is None:
        verdict = yield from limits.check_limits(context)
    return concluded(context, verdict or access.check_access(context))


def identify(context: GuardContext) -> Steps[Verdict]:
    """Who is calling, and whether they may enter; for doors that count later."""
    verdict = yield from credentials.verify_credential(context)
    return concluded(context, verdict or route.check_route(context) or access.check_access(context))


def at_view(context: GuardContext, user_pk: object) -> Steps[Verdict]:
    """Count who was not identified, now that the project has said who it is."""
    verdict = yield from limits.check_user_limits(context, user_pk)
    return concluded(context, verdict)


def concluded(context: GuardContext, verdict: Verdict | None) -> Verdict:
    """Note the verdict; a refusal that is already noted stays."""
    enforced = context.enforced
    if verdict is None:
        verdict = ADMITTED if enforced else OBSERVED
    elif verdict.enforced is not enforced:
        verdict = replace(verdict, enforced=enforced)
    if not context.verdict.refused:
        context.verdict = verdict
    return verdict
