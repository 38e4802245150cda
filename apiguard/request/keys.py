"""Verify a key: who is calling, or why it is refused.

A key that the keyring does not hold costs one query; garbage costs none. What
was found good is found again by a digest that only this process can make.
Functions that hold the text of a key or a pepper hide their variables from error
reports; a generator cannot, so it passes such values on without naming them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Hashable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.views.decorators.debug import sensitive_variables

from ..conf import Settings
from ..policy.records import KeyRecord
from ..rules import imported_keys, networks
from ..rules import keys as key_rules
from .challenge import challenge
from .context import Credential, GuardContext
from .effects import ClaimLookUp, Failed, LookUpKey, LookUpUser, RehashKey, RememberKey, Steps
from .presented import PresentedCredential
from .users import ClientUser
from .verdict import Outcome, Verdict, look_up_failed

# Compared against when no such key exists, so that the work is the same.
_NO_DIGEST = "0" * 64
# Other processes name the same key otherwise, and nothing that is stored does.
_NAMING = os.urandom(32)


class Verified(NamedTuple):
    """A key that was found good, for the next request that brings it."""

    record: KeyRecord
    settings: Settings

    def still_holds(self, context: GuardContext) -> bool:
        """Whether what may change under one policy allows it: settings, time, address."""
        return self.settings is context.settings and judge_record(self.record, context) is None


def verify(presented: PresentedCredential, context: GuardContext) -> Steps[Credential | Verdict]:
    """Return the caller whose key this is, or the verdict on a bad one."""
    fingerprint = _fingerprint(presented, context.settings)
    before: Verified | None = context.snapshot.keyring.caller(fingerprint)
    if before is not None and before.still_holds(context):
        return _credential(before.record, presented, client_user(before.record))
    parts = _parse(presented, context.settings)
    if parts is None:
        return _bad(Outcome.KEY_MALFORMED, presented, context)
    found = yield from _look_up(parts, context)
    if isinstance(found, Verdict):
        return found
    outcome = judge_key(found, parts, context)
    if outcome is Outcome.PEPPER_UNKNOWN and found is not None:
        return _pepper_unknown(found)
    if outcome is not None or found is None:
        reason = found.name if found is not None else parts.key_id
        return _bad(outcome or Outcome.KEY_UNKNOWN, presented, context, f"key {reason!r}")
    held = is_held(found, context)
    record = _renewed(found, parts, context)
    if record is not found:
        yield RehashKey(found, record)
    # The owner's row is looked up for every request.
    if held and not record.client.acts_as_owner:
        yield RememberKey(fingerprint, Verified(record, context.settings))
    return (yield from _as_caller(record, presented, context))


def verify_record(
    record: KeyRecord, presented: PresentedCredential, context: GuardContext
) -> Steps[Credential | Verdict]:
    """The caller whose key this is, its secret taken for granted, or the verdict on a bad one."""
    outcome = judge_record(record, context)
    if outcome is not None:
        return _bad(outcome, presented, context, f"key {record.name!r}")
    if record.pepper_id and record.pepper_id not in context.settings.key_peppers:
        return _pepper_unknown(record)
    return (yield from _as_caller(record, presented, context))


@sensitive_variables()
def _parse(presented: PresentedCredential, settings: Settings) -> key_rules.KeyParts | None:
    return imported_keys.parse_any(presented.value, settings.key_namespace)


@sensitive_variables()
def _fingerprint(presented: PresentedCredential, settings: Settings) -> Hashable:
    """Return what recognises this key and does not tell its text; ``None`` for garbage."""
    lengths = (key_rules.key_length(settings.key_namespace), imported_keys.LENGTH)
    if len(presented.value) not in lengths:
        return None
    text = presented.value.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, key=_NAMING).digest()


def _look_up(parts: key_rules.KeyParts, context: GuardContext) -> Steps[KeyRecord | Verdict | None]:
    record = context.snapshot.keyring.get(parts.key_id)
    if record is None:
        if not (yield ClaimLookUp(networks.counted_as(context.address))):
            return None
        record = yield LookUpKey(parts.key_id)
        if isinstance(record, Failed):
            return look_up_failed("the key cannot be looked up")
    return record if isinstance(record, KeyRecord) else None


def _bad(
    outcome: Outcome, presented: PresentedCredential, context: GuardContext, reason: str = ""
) -> Verdict:
    value = challenge(context.settings.realm, presented.scheme, "invalid_token")
    return Verdict(outcome, reason=reason, headers=(("WWW-Authenticate", value),))


def _pepper_unknown(record: KeyRecord) -> Verdict:
    """503: the key may be good, as a process of another deployment can verify it."""
    reason = f"key {record.name!r}: KEY_PEPPERS has no {record.pepper_id!r}"
    return Verdict(Outcome.PEPPER_UNKNOWN, reason=reason, retry_after=1)


@sensitive_variables()
def _renewed(record: KeyRecord, parts: key_rules.KeyParts, context: GuardContext) -> KeyRecord:
    """Return the record with a digest of the first pepper; itself where it has one.

    Only now is the key's text known. A new digest is no change of policy: other
    workers go on with the older one as long as they know its pepper.
    """
    first = next(iter(context.settings.key_peppers.items()), None)
    if first is None or first[0] == record.pepper_id:
        return record
    pepper_id, pepper = first  # It signs; the others only verify.
    return replace(record, digest=key_rules.digest(parts.text, pepper), pepper_id=pepper_id)


def is_held(record: KeyRecord, context: GuardContext) -> bool:
    """Whether others are judged by this record; what an open transaction has read is its own."""
    return context.snapshot.keyring.get(record.key_id) is record


@sensitive_variables()
def judge_key(
    record: KeyRecord | None, parts: key_rules.KeyParts, context: GuardContext
) -> Outcome | None:
    """Return why a well-formed key is refused, or ``None`` if it is good."""
    peppers = context.settings.key_peppers
    if record is None:  # As much work as for a key that there is.
        pepper, stored = next(iter(peppers.values()), None), _NO_DIGEST
    else:
        pepper, stored = peppers.get(record.pepper_id), record.digest
    same = key_rules.matches(parts.text, pepper, stored)
    if record is None:
        return Outcome.KEY_UNKNOWN
    if record.pepper_id and pepper is None:
        # No secret can be verified, so only what refuses every secret is a reason.
        return _refuse_any_secret(record, parts.environment, context) or Outcome.PEPPER_UNKNOWN
    if not same:
        return Outcome.KEY_WRONG_SECRET
    return _refuse_any_secret(record, parts.environment, context)


def _refuse_any_secret(
    record: KeyRecord, environment: str, context: GuardContext
) -> Outcome | None:
    """Return why a key is refused whatever its secret is; ``None`` if its secret decides."""
    outcome = judge_record(record, context)
    if outcome is None and record.environment != environment:
        return Outcome.KEY_BROKEN
    return outcome


def judge_record(record: KeyRecord, context: GuardContext) -> Outcome | None:
    """Return why a key is refused although its text is right; ``None`` if it is good now.

    In the order of ``key_state``, so that the admin names the same reason.
    """
    client = record.client
    if record.revoked:
        return Outcome.KEY_REVOKED
    if record.expires_at is not None and datetime.now(UTC) >= record.expires_at:
        return Outcome.KEY_EXPIRED
    if record.not_before is not None and datetime.now(UTC) < record.not_before:
        return Outcome.KEY_NOT_YET_VALID
    if record.environment == "test" and not context.settings.allow_test_keys:
        return Outcome.KEY_TEST_NOT_ALLOWED
    if not client.enabled:
        return Outcome.CLIENT_DISABLED
    if record.broken or client.broken:
        return Outcome.KEY_BROKEN
    if record.allowed_networks and not networks.contains(record.allowed_networks, context.address):
        return Outcome.KEY_WRONG_NETWORK
    if client.allowed_networks and not networks.contains(client.allowed_networks, context.address):
        return Outcome.CLIENT_WRONG_NETWORK
    return None


def _as_caller(
    record: KeyRecord, presented: PresentedCredential, context: GuardContext
) -> Steps[Credential | Verdict]:
    client = record.client
    if not client.acts_as_owner:
        return _credential(record, presented, client_user(record))
    user = yield LookUpUser("pk", client.owner_pk)
    if isinstance(user, Failed):
        return look_up_failed("the owner cannot be looked up")
    if user is None:
        return _bad(Outcome.OWNER_INACTIVE, presented, context, f"client {client.slug!r}")
    return _credential(record, presented, user)


def client_user(record: KeyRecord) -> ClientUser:
    """Return a new user object: projects keep data of one request on its user."""
    client = record.client
    return ClientUser(f"client:{client.slug}", f"client:{client.pk}")


def _credential(record: KeyRecord, presented: PresentedCredential, user: Any) -> Credential:
    client = record.client
    return Credential(
        kind="key",
        scheme=presented.scheme,
        principal=f"client:{client.pk}",
        auth=record,
        scopes=record.scopes,
        tier_pk=client.tier_pk,
        client=client,
        user=user,
    )
