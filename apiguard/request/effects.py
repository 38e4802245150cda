"""What a stage may ask of the outside, and the only place that goes there.

A stage yields one of these values and is sent the answer. ``perform`` does
it, blocking; nothing else on a request's way waits for anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from ..counters.base import Asking, StoreFailed, waited_for
from ..policy import jwks, lookups
from ..policy.snapshot import IssuerPolicy
from ..rules.jwks import KeySet
from ..rules.limits import Decision, Limit
from .counting import counting
from .passage import Passage

logger = logging.getLogger("apiguard.counters")


class LookUpKey(NamedTuple):
    """A key that the keyring does not hold. Answer: record, ``None`` or ``Failed``."""

    key_id: str


class LookUpUser(NamedTuple):
    """The active user row behind a credential. Answer: user, ``None`` or ``Failed``."""

    field: str
    value: object


class CountLimits(NamedTuple):
    """All limits of a principal at once. Answer: ``Decision`` or ``Failed``."""

    principal: str
    limits: tuple[Limit, ...]
    cost: int


class FetchKeys(NamedTuple):
    """A key that an issuer may have published since. Answer: ``KeySet`` or ``Failed``."""

    issuer: IssuerPolicy


class Failed(NamedTuple):
    """The answer could not be had; it may be in ``retry_after`` seconds."""

    retry_after: int = 1


FAILED = Failed()

Effect = LookUpKey | LookUpUser | CountLimits | FetchKeys
R = TypeVar("R")
Steps = Generator[Effect, Any, R]


def perform(effect: Effect, passage: Passage) -> Any:
    """Do what a stage asks for, blocking."""
    if isinstance(effect, CountLimits):
        return answer_of(asking(effect, passage))
    if isinstance(effect, FetchKeys):
        return _asked(jwks.sources.of(effect.issuer).ask)
    try:
        if isinstance(effect, LookUpKey):
            return lookups.key(passage.snapshot, effect.key_id)
        return lookups.user(effect.field, effect.value)
    except lookups.LookUpFailed as error:
        # That the database is away was said once, where policy is read.
        logger.debug("A credential cannot be looked up: %s", error)
        return FAILED


def asking(effect: CountLimits, passage: Passage) -> Asking:
    """Count limits, with a stop between question and answer where there is one.

    What drives it must take a ``StoreFailed`` for ``FAILED``.
    """
    counted = counting(passage.settings)
    return counted.asking(passage.snapshot, effect.principal, effect.limits, effect.cost)


def answer_of(asked: Asking) -> Decision | Failed:
    """What the counter says; waits for it."""
    try:
        return waited_for(asked)
    except StoreFailed as error:
        logger.debug("Limits cannot be counted: %s", error)  # The outage itself is said once.
        return FAILED


def recall(effect: Effect, passage: Passage) -> Any:
    """The answer, if memory has it; else ``None``. Waits for nothing."""
    if isinstance(effect, FetchKeys):
        return _asked(jwks.sources.of(effect.issuer).settled)
    if not isinstance(effect, CountLimits):
        return None
    counted = counting(passage.settings)
    return counted.recall(passage.snapshot, effect.principal, effect.limits, effect.cost)


def run(steps: Steps[R], passage: Passage) -> R:
    """Drive a stage to its end, blocking at every effect."""
    answer: Any = None
    try:
        while True:
            answer = perform(steps.send(answer), passage)
    except StopIteration as stop:
        result: R = stop.value
        return result


def _asked(ask: Callable[[], KeySet | None]) -> KeySet | Failed | None:
    try:
        return ask()
    except jwks.KeysAway as away:
        return Failed(away.retry_after)
