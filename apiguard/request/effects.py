"""What a stage may ask of the outside, and the only place that goes there.

A stage yields one of these values and is sent the answer. ``perform`` does
it, blocking; nothing else on a request's way waits for anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from ..conf import Settings
from ..counters.base import CounterUnavailable, LimitCheck
from ..counters.factory import PolicyCounter, counter_for
from ..policy import jwks, lookups
from ..policy.snapshot import IssuerPolicy
from ..rules.key_set import KeySet
from ..rules.limits import Decision
from ..telemetry import outages
from .context import GuardContext

logger = logging.getLogger("apiguard.counters")


class LookUpKey(NamedTuple):
    """A key that the keyring does not hold. Answer: record, ``None`` or ``Failed``."""

    key_id: str


class LookUpUser(NamedTuple):
    """The active user row behind a credential. Answer: user, ``None`` or ``Failed``."""

    field: str
    value: object


class FetchKeys(NamedTuple):
    """A key that an issuer may have published since. Answer: ``KeySet`` or ``Failed``."""

    issuer: IssuerPolicy


class Failed(NamedTuple):
    """The answer could not be had; it may be in ``retry_after`` seconds."""

    retry_after: int = 1


FAILED = Failed()

# The answer to a ``LimitCheck`` is a ``Decision`` or ``Failed``.
Effect = LookUpKey | LookUpUser | LimitCheck | FetchKeys
R = TypeVar("R")
Steps = Generator[Effect, Any, R]


def perform(effect: Effect, context: GuardContext) -> Any:
    """Do what a stage asks for, blocking."""
    if isinstance(effect, LimitCheck):
        return _check_limits(effect, context)
    if isinstance(effect, FetchKeys):
        return _keys_by(jwks.sources.of(effect.issuer).ask)
    try:
        if isinstance(effect, LookUpKey):
            return lookups.key(context.snapshot, effect.key_id)
        return lookups.user(effect.field, effect.value)
    except lookups.LookUpFailed as error:
        # That the database is away was said once, where policy is read.
        logger.debug("A credential cannot be looked up: %s", error)
        return FAILED


def limit_counter(settings: Settings) -> PolicyCounter:
    """Return this process's counter of limits, as these settings name it."""
    return counter_for(settings.counter, settings.counter_prefix, outages)


def _check_limits(check: LimitCheck, context: GuardContext) -> Decision | Failed:
    try:
        return limit_counter(context.settings).check(context.snapshot, check)
    except CounterUnavailable as error:
        # The outage or fault behind it was logged where it was found.
        logger.debug("Limits cannot be counted: %s", error)
        return FAILED


def recall(effect: Effect, context: GuardContext) -> Any:
    """The answer, if memory has it; else ``None``. Waits for nothing."""
    if isinstance(effect, FetchKeys):
        return _keys_by(jwks.sources.of(effect.issuer).settled)
    if not isinstance(effect, LimitCheck):
        return None
    return limit_counter(context.settings).recall(context.snapshot, effect)


def run(steps: Steps[R], context: GuardContext) -> R:
    """Drive a stage to its end, blocking at every effect."""
    answer: Any = None
    try:
        while True:
            answer = perform(steps.send(answer), context)
    except StopIteration as stop:
        result: R = stop.value
        return result


def _keys_by(find: Callable[[], KeySet | None]) -> KeySet | Failed | None:
    try:
        return find()
    except jwks.KeysAway as away:
        return Failed(away.retry_after)
