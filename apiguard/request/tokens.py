"""Verify a token: whose it is, or why it is refused.

Its signature is judged before its times, and the user that it stands for is
looked up last. Functions that hold the text of a token hide their variables from
error reports; a generator cannot, so it passes the text on without naming it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django.views.decorators.debug import sensitive_variables

from ..policy.snapshot import IssuerPolicy
from ..rules import jwt
from ..rules.jwt import ParsedToken, TokenProblem, TokenRefused
from ..rules.key_set import KeySet
from ..rules.scopes import split_scope_claim
from .challenge import challenge
from .context import Credential, GuardContext
from .effects import Failed, FetchIssuerKeys, LookUpUser, ReadIssuerKeys, Steps
from .presented import PresentedCredential
from .users import TokenUser, token_principal
from .verdict import Outcome, Verdict, look_up_failed

_TOKEN_INVALID = "The access token is invalid"
_TOKEN_EXPIRED = "The access token expired"


def _bad(context: GuardContext, reason: str, outcome: Outcome = Outcome.TOKEN_REFUSED) -> Verdict:
    expired = outcome is Outcome.TOKEN_EXPIRED
    value = challenge(
        context.settings.realm,
        "Bearer",
        "invalid_token",
        _TOKEN_EXPIRED if expired else _TOKEN_INVALID,
    )
    return Verdict(outcome, reason=reason, headers=(("WWW-Authenticate", value),))


def verify(presented: PresentedCredential, context: GuardContext) -> Steps[Credential | Verdict]:
    """Return the subject whose token this is, or the verdict on a bad one."""
    try:
        parsed, issuer = _parse(presented, context.snapshot.issuers)
        keys_now = yield ReadIssuerKeys(issuer)
        if issuer.jwks_url and keys_now.find(parsed.kid, parsed.algorithm) is None:
            fetched = yield FetchIssuerKeys(issuer)
            if isinstance(fetched, Failed):
                return _keys_away(issuer, fetched)
            keys_now = fetched
        judge_token(parsed, issuer, keys_now, time.time())
    except TokenRefused as refused:
        expired = refused.problem is TokenProblem.EXPIRED
        outcome = Outcome.TOKEN_EXPIRED if expired else Outcome.TOKEN_REFUSED
        return _bad(context, str(refused.problem), outcome)
    return (yield from _as_subject(parsed.claims, issuer, presented, context))


@sensitive_variables()
def _parse(
    presented: PresentedCredential, issuers: Mapping[str, IssuerPolicy]
) -> tuple[ParsedToken, IssuerPolicy]:
    parsed = jwt.parse(presented.value)
    return parsed, claimed_issuer(parsed, issuers)


def _keys_away(issuer: IssuerPolicy, failed: Failed) -> Verdict:
    reason = f"the keys of issuer {issuer.name!r} cannot be fetched"
    return Verdict(Outcome.ISSUER_KEYS_AWAY, reason=reason, retry_after=failed.retry_after)


def claimed_issuer(parsed: ParsedToken, issuers: Mapping[str, IssuerPolicy]) -> IssuerPolicy:
    """Return the issuer that a token names, if its header fits that issuer's rules.

    Raises:
        TokenRefused: no such issuer is enabled, or its tokens have another algorithm or type.
    """
    name = parsed.claims.get("iss")
    issuer = issuers.get(name) if isinstance(name, str) else None
    if issuer is None:
        raise TokenRefused(TokenProblem.UNKNOWN_ISSUER)
    jwt.check_header(parsed, issuer.rules)
    return issuer


@sensitive_variables()
def judge_token(parsed: ParsedToken, issuer: IssuerPolicy, held: KeySet, now: float) -> None:
    """Hold a token against its issuer's keys and rules; its signature is judged before its times.

    Raises:
        TokenRefused: with the problem that was found first.
    """
    key = held.find(parsed.kid, parsed.algorithm)
    if key is None:
        raise TokenRefused(TokenProblem.UNKNOWN_KID)
    if not jwt.verify_signature(parsed, key, parsed.algorithm):
        raise TokenRefused(TokenProblem.BAD_SIGNATURE)
    jwt.check_claims(parsed.claims, issuer.rules, now)


def _as_subject(
    claims: dict[str, Any],
    issuer: IssuerPolicy,
    presented: PresentedCredential,
    context: GuardContext,
) -> Steps[Credential | Verdict]:
    subject = claims["sub"]
    principal = token_principal(issuer.pk, subject)
    user: Any = TokenUser(subject, principal)
    if issuer.user_field:
        user = yield LookUpUser(issuer.user_field, subject)
        if isinstance(user, Failed):
            return look_up_failed("the user of a token cannot be looked up")
        if user is None:
            return _bad(context, "no such user", Outcome.TOKEN_USER_UNKNOWN)
    return Credential(
        kind="token",
        scheme=presented.scheme,
        principal=principal,
        auth=claims,
        scopes=split_scope_claim(jwt.claim_at(claims, issuer.scope_claim)),
        tier_pk=_tier_of(claims, issuer, context),
        client=None,
        user=user,
    )


def _tier_of(claims: dict[str, Any], issuer: IssuerPolicy, context: GuardContext) -> Any:
    """Return the tier that the claim names, if there is one of that slug; else the issuer's."""
    slug = jwt.claim_at(claims, issuer.tier_claim) if issuer.tier_claim else None
    tier = context.snapshot.tiers_by_slug.get(slug) if isinstance(slug, str) else None
    return issuer.tier_pk if tier is None else tier.pk
