"""Verify what was offered -> who is calling. The first I/O point.

The caller learns that a credential is bad, never why; the outcome says it to
operators.
"""

from __future__ import annotations

from ..rules import networks
from . import keys, tokens
from .challenge import challenge
from .effects import Steps
from .failures import failures
from .offered import Offered, find
from .passage import Credential, Passage
from .verdict import Outcome, Verdict


def judge(passage: Passage) -> Steps[Verdict | None]:
    """Set ``passage.credential``, or say why what was offered is refused."""
    passage.identified = True
    route = passage.route
    judge_all = route is not None and route.access == "credentials"
    found = find(passage.facts, passage.settings, passage.snapshot.issuers, judge_all=judge_all)
    if not found:
        return None
    verdict = _refuse_malformed(found, passage)
    if verdict is None:
        verify = keys.verify if found[0].kind == "key" else tokens.verify
        judged = yield from verify(found[0], passage)
        if isinstance(judged, Credential):
            passage.credential = judged
            return None
        verdict = _count_failure(judged, passage)
    return verdict


def _refuse_malformed(found: list[Offered], passage: Passage) -> Verdict | None:
    realm = passage.settings.realm
    if len(found) > 1:
        header = ("WWW-Authenticate", challenge(realm, "Bearer", "invalid_request"))
        return Verdict(Outcome.TWO_CREDENTIALS, headers=(header,))
    if found[0].malformed:
        header = ("WWW-Authenticate", challenge(realm, found[0].scheme, "invalid_request"))
        return Verdict(Outcome.CREDENTIAL_MALFORMED, headers=(header,))
    return None


def _count_failure(verdict: Verdict, passage: Passage) -> Verdict:
    """The verdict on a bad credential, or 429 where there were too many."""
    counted = failures(passage.settings)
    refusal = verdict.refusal
    if counted is None or refusal is None or refusal.status != 401:
        return verdict
    wait = counted.note(networks.counted_as(passage.address))
    if wait is None:
        return verdict
    return Verdict(
        Outcome.TOO_MANY_BAD_CREDENTIALS,
        reason=f"{verdict.outcome}, and too many before",
        retry_after=wait,
    )
