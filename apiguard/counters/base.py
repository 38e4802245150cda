"""What every counter promises.

A counter judges one request against all limits of its principal at once, all
or nothing: what is denied consumes nothing anywhere, and a shadow limit counts
only requests that were admitted and that it would have admitted itself. A
denial is a ``Decision``; only a store that cannot be asked is an exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple, Protocol

from ..rules.limits import Counted, Decision, Limit


class StoreFailed(Exception):
    """The store could not be asked, or did not answer in time.

    The cost may or may not have been counted: a script that timed out may
    have run. Never retry.
    """


class Question(NamedTuple):
    """Whether ``cost`` units of ``principal`` fit all ``limits``.

    With ``commit=False`` nothing is counted or written.
    """

    principal: str
    limits: tuple[Limit, ...]
    cost: int
    commit: bool = True


class Asked(Protocol):
    """A question that was asked: what is done now is done while the store decides.

    It must be answered or given up, and answered no more than once: the connection
    on which the answer comes is nobody else's until then.
    """

    def answer(self) -> Decision:
        """Wait for the decision.

        Raises:
            StoreFailed: the store did not answer.
        """
        ...

    def give_up(self) -> None:
        """Nobody waits for it any more; once more is as good as once."""
        ...


class Answered(NamedTuple):
    """A question that was answered at once."""

    decision: Decision

    def answer(self) -> Decision:
        """The decision."""
        return self.decision

    def give_up(self) -> None:
        """Nothing."""


class Counter(Protocol):
    """A place where cost units are counted.

    Where that takes time, it has a method ``ask`` besides, which ``asking`` finds:
    it takes a ``Question`` and returns what is ``Asked``.
    """

    def decide(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool = True
    ) -> Decision:
        """Judge ``cost`` units of ``principal`` against all ``limits``, and count them if admitted.

        With ``commit=False`` nothing is counted or written.

        Raises:
            StoreFailed: the store could not be asked.
        """
        ...


Asking = Callable[[Question], Asked]


def asking(counter: Counter) -> Asking:
    """How this counter is asked; where it has no ``ask``, it decides at once."""
    ask: Asking | None = getattr(counter, "ask", None)
    return ask or partial(_at_once, counter)


def _at_once(counter: Counter, question: Question) -> Asked:
    principal, limits, cost, commit = question
    return Answered(counter.decide(principal, limits, cost, commit=commit))


@lru_cache(maxsize=4096)
def hash_principal(principal: str) -> str:
    """32 hexadecimal digits that stand for ``principal`` in a store's keys."""
    text = principal.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def key_for(prefix: str, principal_hash: str, limit_pk: int) -> str:
    """The store's key of one limit of one principal.

    The braces keep all keys of a principal on one slot of a Redis cluster. No
    policy revision is part of it: every save would grant the quota again.
    """
    return f"{prefix}:{{{principal_hash}}}:{limit_pk}"


def decision_of(
    now: int, counted: Sequence[tuple[Limit, bool, int, int, int | None]], *, allowed: bool
) -> Decision:
    """A decision from plain (limit, fits, used, wait, reset) rows."""
    return Decision.of(allowed, now, [Counted(*row) for row in counted])
