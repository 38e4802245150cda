"""All that a stage may read or change outside its request, and the only place that does it.

A stage changes nothing: it yields one of these values and is sent the answer.
``perform`` does what it names, blocking. ``peek`` answers the same without
changing anything, so that the stages can explain a request without counting it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Hashable
from typing import Any, NamedTuple, TypeVar

from ..conf import Settings
from ..counters.base import CounterUnavailable, LimitCheck
from ..counters.denials import PolicyCounter
from ..counters.factory import counter_for
from ..counters.leases import elapsed_microseconds
from ..policy import jwks, lookups
from ..policy.records import KeyRecord
from ..policy.snapshot import IssuerPolicy
from ..rules.key_set import KeySet
from ..rules.limits import Decision
from ..telemetry import outages
from ..telemetry.buffer import buffer
from ..telemetry.metrics import metrics
from .context import GuardContext
from .failed_credentials import failures

logger = logging.getLogger("apiguard.counters")


class LookUpKey(NamedTuple):
    """A key that the keyring does not hold. Answer: record, ``None`` or ``Failed``."""

    key_id: str


class LookUpUser(NamedTuple):
    """The active user row behind a credential. Answer: user, ``None`` or ``Failed``."""

    field: str
    value: object


class FetchIssuerKeys(NamedTuple):
    """A key that an issuer may have published since. Answer: ``KeySet`` or ``Failed``."""

    issuer: IssuerPolicy


class ReadIssuerKeys(NamedTuple):
    """The keys of an issuer that are held now. Answer: ``KeySet``."""

    issuer: IssuerPolicy


class ClaimLookUp(NamedTuple):
    """The right to look up a key for this address. Answer: whether it is given."""

    address: str


class CountFailure(NamedTuple):
    """A bad credential of an address. Answer: seconds to wait beyond the limit, else ``None``."""

    address: str


class RememberKey(NamedTuple):
    """A key that was found good, by the digest that recognises it. No answer."""

    fingerprint: Hashable
    verified: object


class RehashKey(NamedTuple):
    """A key's record with a digest of the first pepper instead of an older one. No answer."""

    record: KeyRecord
    renewed: KeyRecord


class Failed(NamedTuple):
    """The answer could not be had; it may be in ``retry_after`` seconds."""

    retry_after: int = 1


FAILED = Failed()

# The answer to a ``LimitCheck`` is a ``Decision`` or ``Failed``.
Effect = (
    LookUpKey
    | LookUpUser
    | FetchIssuerKeys
    | ReadIssuerKeys
    | ClaimLookUp
    | CountFailure
    | RememberKey
    | RehashKey
    | LimitCheck
)
R = TypeVar("R")
Steps = Generator[Effect, Any, R]


def perform(effect: Effect, context: GuardContext) -> Any:
    """Do what a stage yielded, blocking."""
    return _PERFORM[type(effect)](effect, context)


def peek(effect: Effect, context: GuardContext) -> Any:
    """Answer what a stage yielded without changing anything.

    Rows are read. Nothing is counted: a limit answers as if the request were admitted
    where it would be.
    """
    return _PEEK[type(effect)](effect, context)


def perform_in_memory(effect: Effect, context: GuardContext) -> Any:
    """Do what a stage yielded if that waits for nothing, else return ``BLOCKS``."""
    if type(effect) in _IN_MEMORY:
        return perform(effect, context)
    answer: Any = None
    if isinstance(effect, LimitCheck):
        answer = limit_counter(context.settings).check_in_memory(context.snapshot, effect)
    elif isinstance(effect, FetchIssuerKeys):
        answer = _keys_by(jwks.sources.of(effect.issuer).settled)
    return BLOCKS if answer is None else answer


def run(
    steps: Steps[R],
    context: GuardContext,
    do: Callable[[Effect, GuardContext], Any] = perform,
) -> R:
    """Drive a stage to its end, blocking at every effect."""
    answer: Any = None
    try:
        while True:
            answer = do(steps.send(answer), context)
    except StopIteration as stop:
        result: R = stop.value
        return result


BLOCKS: Any = object()


def limit_counter(settings: Settings) -> PolicyCounter:
    """Return this process's counter of limits, as these settings name it."""
    report = metrics() if settings.metrics else None
    return counter_for(settings.counter, settings.counter_prefix, outages, settings.leases, report)


def _check_limits(check: LimitCheck, context: GuardContext) -> Decision | Failed:
    try:
        counter = limit_counter(context.settings)
        if not (check.costs and check.commit):
            return counter.check(context.snapshot, check)
        begun = elapsed_microseconds()
        decision = counter.check(context.snapshot, check)
        # Noted in the thread that has counted it: a request that is cancelled meanwhile gives
        # it back.
        if decision.allowed and context.holds is not None:
            context.holds.take(counter, check, begun, decision)
        return decision
    except CounterUnavailable as error:
        # The outage or fault behind it was logged where it was found.
        logger.debug("Limits cannot be counted: %s", error)
        return FAILED


def _peek_limits(check: LimitCheck, context: GuardContext) -> Decision | Failed:
    return _check_limits(check._replace(commit=False), context)


def _look_up_key(effect: LookUpKey, context: GuardContext) -> Any:
    return _row_by(lambda: lookups.key(context.snapshot, effect.key_id))


def _peek_key(effect: LookUpKey, context: GuardContext) -> Any:
    return _row_by(lambda: lookups.read_key(effect.key_id))


def _look_up_user(effect: LookUpUser, context: GuardContext) -> Any:
    return _row_by(lambda: lookups.user(effect.field, effect.value))


def _row_by(find: Callable[[], Any]) -> Any:
    try:
        return find()
    except lookups.LookUpFailed as error:
        # The outage itself was logged once, where policy is read.
        logger.debug("A credential cannot be looked up: %s", error)
        return FAILED


def _read_keys(effect: ReadIssuerKeys, context: GuardContext) -> KeySet:
    return jwks.held(effect.issuer)


def _peek_keys(effect: ReadIssuerKeys, context: GuardContext) -> KeySet:
    return jwks.peek(effect.issuer)


def _fetch_keys(effect: FetchIssuerKeys, context: GuardContext) -> KeySet | Failed | None:
    return _keys_by(jwks.sources.of(effect.issuer).fetch_once)


def _peek_fetch(effect: FetchIssuerKeys, context: GuardContext) -> KeySet:
    return jwks.peek(effect.issuer)


def _keys_by(find: Callable[[], KeySet | None]) -> KeySet | Failed | None:
    try:
        return find()
    except jwks.KeysAway as away:
        return Failed(away.retry_after)


def _claim_look_up(effect: ClaimLookUp, context: GuardContext) -> bool:
    counted = failures(context.settings, context.snapshot.unlocked)
    return counted is None or counted.claim_look_up(effect.address)


def _peek_look_up(effect: ClaimLookUp, context: GuardContext) -> bool:
    counted = failures(context.settings, context.snapshot.unlocked)
    return counted is None or counted.may_look_up(effect.address)


def _count_failure(effect: CountFailure, context: GuardContext) -> int | None:
    counted = failures(context.settings, context.snapshot.unlocked)
    return None if counted is None else counted.count(effect.address)


def _peek_failure(effect: CountFailure, context: GuardContext) -> int | None:
    counted = failures(context.settings, context.snapshot.unlocked)
    return None if counted is None else counted.wait(effect.address)


def _remember_key(effect: RememberKey, context: GuardContext) -> None:
    context.snapshot.keyring.remember(effect.fingerprint, effect.verified)


def _rehash_key(effect: RehashKey, context: GuardContext) -> None:
    record, renewed = effect
    buffer.rehashed(record.pk, record.digest, renewed.digest, renewed.pepper_id)
    keyring = context.snapshot.keyring
    # A record that an open transaction has read is for that request alone.
    if keyring.get(record.key_id) is record:
        keyring.put(record.key_id, renewed)


def _nothing(effect: Effect, context: GuardContext) -> None:
    return None


_Do = dict[type[Any], Callable[[Any, GuardContext], Any]]
_PERFORM: _Do = {
    LimitCheck: _check_limits,
    LookUpKey: _look_up_key,
    LookUpUser: _look_up_user,
    FetchIssuerKeys: _fetch_keys,
    ReadIssuerKeys: _read_keys,
    ClaimLookUp: _claim_look_up,
    CountFailure: _count_failure,
    RememberKey: _remember_key,
    RehashKey: _rehash_key,
}
_PEEK: _Do = _PERFORM | {
    LimitCheck: _peek_limits,
    LookUpKey: _peek_key,
    FetchIssuerKeys: _peek_fetch,
    ReadIssuerKeys: _peek_keys,
    ClaimLookUp: _peek_look_up,
    CountFailure: _peek_failure,
    RememberKey: _nothing,
    RehashKey: _nothing,
}
_IN_MEMORY = frozenset({ReadIssuerKeys, ClaimLookUp, CountFailure, RememberKey, RehashKey})
