"""Verify what was presented -> who is calling. The first I/O point.

The caller learns that a credential is bad, never why; the outcome says it to
operators.
"""

from __future__ import annotations

from ..policy.records import KeyRecord
from ..rules import networks
from . import keys, tokens
from .challenge import challenge
from .context import Credential, GuardContext
from .effects import CountFailure, Steps
from .presented import PresentedCredential, extract
from .verdict import Outcome, Verdict


def verify_credential(context: GuardContext) -> Steps[Verdict | None]:
    """Set ``context.credential``, or say why what was presented is refused."""
    context.identified = True
    found = find_presented(context)
    if not found:
        return None
    verdict = _refuse_malformed(found, context)
    if verdict is None:
        verify = keys.verify if found[0].kind == "key" else tokens.verify
        verdict = yield from _keep((yield from verify(found[0], context)), context)
    return verdict


def verify_assumed_key(record: KeyRecord, context: GuardContext) -> Steps[Verdict | None]:
    """Judge a request as if it brought this key in the key header, with the right secret.

    For explanations: nobody has to know the secret of a key to see what it may do.
    """
    context.identified = True
    sent = PresentedCredential("key", "ApiKey", "")
    return (yield from _keep((yield from keys.verify_record(record, sent, context)), context))


def find_presented(context: GuardContext) -> list[PresentedCredential]:
    """Return the credentials of ours that a request brings."""
    route = context.route
    judge_all = route is not None and route.access == "credentials"
    return extract(context.facts, context.settings, context.snapshot.issuers, judge_all=judge_all)


def _keep(judged: Credential | Verdict, context: GuardContext) -> Steps[Verdict | None]:
    if isinstance(judged, Credential):
        context.credential = judged
        return None
    return (yield from _count_failure(judged, context))


def _refuse_malformed(found: list[PresentedCredential], context: GuardContext) -> Verdict | None:
    realm = context.settings.realm
    if len(found) > 1:
        header = ("WWW-Authenticate", challenge(realm, "Bearer", "invalid_request"))
        return Verdict(Outcome.TWO_CREDENTIALS, headers=(header,))
    if found[0].malformed:
        header = ("WWW-Authenticate", challenge(realm, found[0].scheme, "invalid_request"))
        return Verdict(Outcome.CREDENTIAL_MALFORMED, headers=(header,))
    return None


def _count_failure(verdict: Verdict, context: GuardContext) -> Steps[Verdict]:
    """Return the verdict on a bad credential, or 429 where there were too many."""
    refusal = verdict.refusal
    if refusal is None or refusal.status != 401:
        return verdict
    wait = yield CountFailure(networks.counted_as(context.address))
    if wait is None:
        return verdict
    return Verdict(
        Outcome.TOO_MANY_BAD_CREDENTIALS,
        reason=f"{verdict.outcome}, and too many before",
        retry_after=wait,
    )
