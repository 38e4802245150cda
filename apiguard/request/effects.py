"""What a stage may ask of the outside, and the only place that goes there.

A stage yields one of these values and is sent the answer. ``perform`` does
it, blocking; nothing else on a request's way waits for anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from ..counters.base import Asked, Question, StoreFailed
from ..policy import jwks, lookups
from ..policy.snapshot import IssuerPolicy
from ..rules.jwks import KeySet
from ..rules.limits import Decision
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


class FetchKeys(NamedTuple):
    """A key that an issuer may have published since. Answer: ``KeySet`` or ``Failed``."""

    issuer: IssuerPolicy


class Failed(NamedTuple):
    """The answer could not be had; it may be in ``retry_after`` seconds."""

    retry_after: int = 1


FAILED = Failed()

# A ``Question`` is all limits of a principal at once. Answer: ``Decision`` or ``Failed``.
Effect = LookUpKey | LookUpUser | Question | FetchKeys
R = TypeVar("R")
Steps = Generator[Effect, Any, R]


def perform(effect: Effect, passage: Passage) -> Any:
    """Do what a stage asks for, blocking."""
    if isinstance(effect, Question):
        return answer_of(ask(effect, passage))
    if isinstance(effect, FetchKeys):
        return _keys_by(jwks.sources.of(effect.issuer).ask)
    try:
        if isinstance(effect, LookUpKey):
            return lookups.key(passage.snapshot, effect.key_id)
        return lookups.user(effect.field, effect.value)
    except lookups.LookUpFailed as error:
        # That the database is away was said once, where policy is read.
        logger.debug("A credential cannot be looked up: %s", error)
        return FAILED


def ask(question: Question, passage: Passage) -> Asked | Failed:
    """Ask the counter; what it says may be waited for later."""
    try:
        return counting(passage.settings).ask(passage.snapshot, question)
    except StoreFailed as error:
        return _cannot_be_counted(error)


def answer_of(asked: Asked | Failed) -> Decision | Failed:
    """What the counter says; waits for it."""
    if isinstance(asked, Failed):
        return asked
    try:
        return asked.answer()
    except StoreFailed as error:
        return _cannot_be_counted(error)


def _cannot_be_counted(error: StoreFailed) -> Failed:
    logger.debug("Limits cannot be counted: %s", error)  # The outage itself is said once.
    return FAILED


def recall(effect: Effect, passage: Passage) -> Any:
    """The answer, if memory has it; else ``None``. Waits for nothing."""
    if isinstance(effect, FetchKeys):
        return _keys_by(jwks.sources.of(effect.issuer).settled)
    if not isinstance(effect, Question):
        return None
    return counting(passage.settings).recall(passage.snapshot, effect)


def run(steps: Steps[R], passage: Passage) -> R:
    """Drive a stage to its end, blocking at every effect."""
    answer: Any = None
    try:
        while True:
            answer = perform(steps.send(answer), passage)
    except StopIteration as stop:
        result: R = stop.value
        return result


def _keys_by(find: Callable[[], KeySet | None]) -> KeySet | Failed | None:
    try:
        return find()
    except jwks.KeysAway as away:
        return Failed(away.retry_after)
