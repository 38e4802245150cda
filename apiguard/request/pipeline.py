"""The order of the stages. It is a security property, and it stands here alone.

A preflight carries no credentials, so it is answered first. Cheap rules come
before anything that costs a look-up. Credentials come before limits, because
only a verified credential says who is counted; limits come before access, so
that asking without a credential is counted too.
"""

from __future__ import annotations

from dataclasses import replace

from . import access, content, cors, credentials, limits, route
from .effects import Steps
from .passage import Passage
from .verdict import ADMITTED, OBSERVED, Verdict


def before_view(passage: Passage) -> Steps[Verdict]:
    """Judge a request as far as that can be done before any view is known."""
    verdict = cors.judge(passage) or content.judge(passage)
    if verdict is None:
        verdict = yield from credentials.judge(passage)
    verdict = verdict or route.judge(passage)
    if verdict is None:
        verdict = yield from limits.judge(passage)
    return concluded(passage, verdict or access.judge(passage))


def identify(passage: Passage) -> Steps[Verdict]:
    """Who is calling, and whether they may enter; for doors that count later."""
    verdict = yield from credentials.judge(passage)
    return concluded(passage, verdict or route.judge(passage) or access.judge(passage))


def at_view(passage: Passage, user_pk: object) -> Steps[Verdict]:
    """Count who was not identified, now that the project has said who it is."""
    verdict = yield from limits.judge_user(passage, user_pk)
    return concluded(passage, verdict)


def concluded(passage: Passage, verdict: Verdict | None) -> Verdict:
    """Note the verdict; a refusal that is already noted stays."""
    enforced = passage.enforced
    if verdict is None:
        verdict = ADMITTED if enforced else OBSERVED
    elif verdict.enforced is not enforced:
        verdict = replace(verdict, enforced=enforced)
    if not passage.verdict.refused:
        passage.verdict = verdict
    return verdict
