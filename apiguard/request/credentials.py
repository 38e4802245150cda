"""Verify what was offered -> who is calling. The first I/O point.

A key that the keyring does not hold costs one query; garbage costs none. The
caller learns that a credential is bad, never why; the outcome says it to
operators.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..conf import Settings
from ..policy import jwks
from ..policy.records import KeyRecord
from ..policy.snapshot import IssuerPolicy
from ..rules import jwt, keys, networks
from ..rules.jwks import KeySet
from ..rules.jwt import ParsedToken, TokenProblem, TokenRefused
from ..rules.scopes import split_scope_claim
from ..telemetry.buffer import buffer
from .challenge import challenge
from .effects import Failed, FetchKeys, LookUpKey, LookUpUser, Steps
from .failures import failures
from .offered import Offered, find
from .passage import Credential, Passage
from .users import ClientUser, TokenUser
from .verdict import Outcome, Verdict

_TOKEN_INVALID = "The access token is invalid"
_TOKEN_EXPIRED = "The access token expired"
# Compared against when no such key exists, so that the work is the same.
_NO_DIGEST = "0" * 64


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
        verify = _verify_key if found[0].kind == "key" else _verify_token
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


def _unavailable(reason: str) -> Verdict:
    return Verdict(Outcome.LOOK_UP_FAILED, reason=reason, retry_after=1)


# -- keys -----------------------------------------------------------------------


def _bad_key(outcome: Outcome, offered: Offered, passage: Passage, reason: str = "") -> Verdict:
    value = challenge(passage.settings.realm, offered.scheme, "invalid_token")
    return Verdict(outcome, reason=reason, headers=(("WWW-Authenticate", value),))


def _verify_key(offered: Offered, passage: Passage) -> Steps[Credential | Verdict]:
    name = _name(offered, passage.settings)
    remembered: tuple[KeyRecord, Credential] | None = passage.snapshot.keyring.caller(name)
    if remembered is not None and _judge_record(remembered[0], passage) is None:
        return remembered[1]
    parts = keys.parse(offered.value, passage.settings.key_namespace)
    if parts is None:
        return _bad_key(Outcome.KEY_MALFORMED, offered, passage)
    record = passage.snapshot.keyring.get(parts.key_id)
    if record is None:
        counted = failures(passage.settings)
        if counted and not counted.may_look_up(networks.counted_as(passage.address)):
            return _bad_key(Outcome.KEY_UNKNOWN, offered, passage, "not looked up")
        record = yield LookUpKey(parts.key_id)
        if isinstance(record, Failed):
            return _unavailable("the key cannot be looked up")
    known = record if isinstance(record, KeyRecord) else None
    outcome = judge_key(known, parts, passage)
    if outcome is not None or known is None:
        reason = known.name if known is not None else parts.key_id
        return _bad_key(outcome or Outcome.KEY_UNKNOWN, offered, passage, f"key {reason!r}")
    renewed = _renew_digest(known, parts, passage)
    verified = yield from _as_caller(known, offered, passage)
    # The owner's row is looked up for every request.
    if isinstance(verified, Credential) and not (renewed or known.client.acts_as_owner):
        passage.snapshot.keyring.remember(name, (known, verified))
    return verified


def _name(offered: Offered, settings: Settings) -> Hashable:
    """What only this key has in this place: a digest, never its text; ``None`` for garbage."""
    if len(offered.value) != keys.key_length(settings.key_namespace):
        return None
    pepper = next(iter(settings.key_peppers.values()), None)
    return keys.digest(offered.value, pepper), offered.scheme, settings.key_namespace


def _renew_digest(record: KeyRecord, parts: keys.KeyParts, passage: Passage) -> bool:
    """A good key whose digest an older pepper made gets one of the first pepper, in passing.

    Only now is the key's text known. It is no change of policy, and other
    workers go on with the older digest as long as they know its pepper.
    """
    for pepper_id, pepper in passage.settings.key_peppers.items():
        if pepper_id == record.pepper_id:
            return False
        digest = keys.digest(parts.text, pepper)
        buffer.rehashed(record.pk, record.digest, digest, pepper_id)
        renewed = replace(record, digest=digest, pepper_id=pepper_id)
        passage.snapshot.keyring.put(record.key_id, renewed)
        return True  # The first pepper signs; the others only verify.
    return False


def judge_key(record: KeyRecord | None, parts: keys.KeyParts, passage: Passage) -> Outcome | None:
    """Why a well-formed key is refused, or ``None`` if it is good."""
    peppers = passage.settings.key_peppers
    if record is None:  # As much work as for a key that there is.
        pepper, stored = next(iter(peppers.values()), None), _NO_DIGEST
    else:
        pepper, stored = peppers.get(record.pepper_id), record.digest
    same = keys.matches(parts.text, pepper, stored)
    if record is None:
        return Outcome.KEY_UNKNOWN
    if not same or (record.pepper_id and pepper is None):
        return Outcome.KEY_WRONG_SECRET
    outcome = _judge_record(record, passage)
    if outcome is None and record.environment != parts.environment:
        return Outcome.KEY_BROKEN
    return outcome


def _judge_record(record: KeyRecord, passage: Passage) -> Outcome | None:
    """In the order of ``key_state``, so that the desk names the same reason."""
    client = record.client
    if record.revoked:
        return Outcome.KEY_REVOKED
    if record.expires_at is not None and datetime.now(UTC) >= record.expires_at:
        return Outcome.KEY_EXPIRED
    if record.not_before is not None and datetime.now(UTC) < record.not_before:
        return Outcome.KEY_NOT_YET_VALID
    if record.environment == "test" and not passage.settings.allow_test_keys:
        return Outcome.KEY_TEST_NOT_ALLOWED
    if not client.enabled:
        return Outcome.CLIENT_DISABLED
    if record.broken or client.broken:
        return Outcome.KEY_BROKEN
    if record.allowed_networks and not networks.contains(record.allowed_networks, passage.address):
        return Outcome.KEY_WRONG_NETWORK
    if client.allowed_networks and not networks.contains(client.allowed_networks, passage.address):
        return Outcome.CLIENT_WRONG_NETWORK
    return None


def _as_caller(
    record: KeyRecord, offered: Offered, passage: Passage
) -> Steps[Credential | Verdict]:
    client = record.client
    user: Any = ClientUser(f"client:{client.slug}", f"client:{client.pk}")
    if client.acts_as_owner:
        user = yield LookUpUser("pk", client.owner_pk)
        if isinstance(user, Failed):
            return _unavailable("the owner cannot be looked up")
        if user is None:
            return _bad_key(Outcome.OWNER_INACTIVE, offered, passage, f"client {client.slug!r}")
    return Credential(
        kind="key",
        scheme=offered.scheme,
        principal=f"client:{client.pk}",
        auth=record,
        scopes=record.scopes,
        user=user,
        tier_pk=client.tier_pk,
        client=client,
    )


# -- tokens ---------------------------------------------------------------------


def _bad_token(passage: Passage, reason: str, outcome: Outcome = Outcome.TOKEN_REFUSED) -> Verdict:
    expired = outcome is Outcome.TOKEN_EXPIRED
    value = challenge(
        passage.settings.realm,
        "Bearer",
        "invalid_token",
        _TOKEN_EXPIRED if expired else _TOKEN_INVALID,
    )
    return Verdict(outcome, reason=reason, headers=(("WWW-Authenticate", value),))


def _verify_token(offered: Offered, passage: Passage) -> Steps[Credential | Verdict]:
    try:
        parsed = jwt.parse(offered.value)
        issuer = claimed_issuer(parsed, passage.snapshot.issuers)
        keys_now = jwks.held(issuer)
        if issuer.jwks_url and keys_now.find(parsed.kid, parsed.algorithm) is None:
            fetched = yield FetchKeys(issuer)
            if isinstance(fetched, Failed):
                return _keys_away(issuer, fetched)
            keys_now = fetched
        judge_token(parsed, issuer, keys_now, time.time())
    except TokenRefused as refused:
        expired = refused.problem is TokenProblem.EXPIRED
        outcome = Outcome.TOKEN_EXPIRED if expired else Outcome.TOKEN_REFUSED
        return _bad_token(passage, str(refused.problem), outcome)
    return (yield from _as_subject(parsed.claims, issuer, offered, passage))


def _keys_away(issuer: IssuerPolicy, failed: Failed) -> Verdict:
    reason = f"the keys of issuer {issuer.name!r} cannot be fetched"
    return Verdict(Outcome.ISSUER_KEYS_AWAY, reason=reason, retry_after=failed.retry_after)


def claimed_issuer(parsed: ParsedToken, issuers: Mapping[str, IssuerPolicy]) -> IssuerPolicy:
    """The issuer that a token says it is from, if its header fits that issuer's rules.

    Raises:
        TokenRefused: no such issuer is enabled, or its tokens have another algorithm or type.
    """
    name = parsed.claims.get("iss")
    issuer = issuers.get(name) if isinstance(name, str) else None
    if issuer is None:
        raise TokenRefused(TokenProblem.UNKNOWN_ISSUER)
    jwt.check_header(parsed, issuer.rules)
    return issuer


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
    claims: dict[str, Any], issuer: IssuerPolicy, offered: Offered, passage: Passage
) -> Steps[Credential | Verdict]:
    subject = claims["sub"]
    user: Any = TokenUser(subject, f"jwt:{issuer.pk}:{subject}")
    if issuer.user_field:
        user = yield LookUpUser(issuer.user_field, subject)
        if isinstance(user, Failed):
            return _unavailable("the user of a token cannot be looked up")
        if user is None:
            return _bad_token(passage, "no such user", Outcome.TOKEN_USER_UNKNOWN)
    return Credential(
        kind="token",
        scheme=offered.scheme,
        principal=f"jwt:{issuer.pk}:{subject}",
        auth=claims,
        scopes=split_scope_claim(claims.get(issuer.scope_claim)),
        user=user,
        tier_pk=_tier_of(claims, issuer, passage),
    )


def _tier_of(claims: dict[str, Any], issuer: IssuerPolicy, passage: Passage) -> Any:
    """The tier that the claim names, if there is one of that slug; else the issuer's."""
    slug = claims.get(issuer.tier_claim) if issuer.tier_claim else None
    tier = passage.snapshot.tiers_by_slug.get(slug) if isinstance(slug, str) else None
    return issuer.tier_pk if tier is None else tier.pk
