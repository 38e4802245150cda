"""What every counter promises.

A counter judges one request against all limits of its principal at once, all
or nothing: what is denied consumes nothing anywhere, and a shadow limit counts
only requests that were admitted and that it would have admitted itself. A
denial is a ``Decision``; only a store that cannot be asked is an exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from functools import lru_cache, partial
from typing import Protocol, TypeVar

from ..rules.limits import Counted, Decision, Limit

T = TypeVar("T")


class StoreFailed(Exception):
    """The store could not be asked, or did not answer in time.

    The cost may or may not have been counted: a script that timed out may
    have run. Never retry.
    """


class Counter(Protocol):
    """A place where cost units are counted."""

    def decide(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool = True
    ) -> Decision:
        """Judge ``cost`` units of ``principal`` against all ``limits``, and count them if admitted.

        With ``commit=False`` nothing is counted or written.

        Raises:
            StoreFailed: the store could not be asked.
        """
        ...


Asking = Generator[None, None, Decision]
"""A decision in two steps: it stops once the store has been asked, if anywhere.

What is done until it goes on again is done while the store decides. It must be
driven to its end, or closed: an answer that nobody waits for any more is lost.
"""


def in_two_steps(counter: Counter) -> Callable[..., Asking]:
    """As ``counter.decide``, in two steps where the counter has a method ``asking``."""
    asking: Callable[..., Asking] | None = getattr(counter, "asking", None)
    return asking or partial(_at_once, counter)


def _at_once(
    counter: Counter, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool = True
) -> Asking:
    yield from ()
    return counter.decide(principal, limits, cost, commit=commit)


def waited_for(steps: Generator[None, None, T]) -> T:
    """What comes of a decision in two steps, or of what is made of one."""
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result


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
