"""What every counter promises.

A counter checks one request against all limits of its principal at once, all
or nothing: what is denied consumes nothing anywhere, and a shadow limit counts
only requests that were admitted and that it would have admitted itself. A
denial is a ``Decision``; an exception means that the limits were not counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from ..rules.limits import Counted, Decision, Limit


class CounterUnavailable(Exception):
    """The limits could not be counted."""


class StoreFailed(CounterUnavailable):
    """The store could not be reached, answered with an error, or not in time.

    The cost may or may not have been counted: a script that timed out may
    have run. Never retry.
    """


class PoolExhausted(CounterUnavailable):
    """All connections of this process's pool stayed in use; nothing was sent to the store."""


class GiveBack(NamedTuple):
    """Units that were reserved and not used, or slots of requests that ended; microseconds.

    Args:
        place: the moment on the store's clock at which the units were counted; of a slot,
            at which the request was admitted.
        age: how long ago that moment is at most, on this process's clock; negative while
            it lies ahead. It is reckoned from before the check was sent, and made longer
            by the store's timeout, because the script that reads it may run that much later.
    """

    place: int
    age: int
    units: int


class LimitCheck(NamedTuple):
    """Whether ``cost`` units of ``principal`` fit all ``limits``.

    With ``commit=False`` nothing is counted or written; the decision is the one that
    a committed check would get. With a ``cost`` of 0 nothing is counted, and only
    ``given_back`` has an effect.

    ``reserve`` units are wanted besides the cost, ``ahead`` microseconds from now:
    ``Decision.reserved`` says how many of them were counted there. They may be used until
    then without another check, and what is not used goes into ``given_back`` of a later
    one. That comes first: what it returns may be used by the same check.

    ``costs`` are those of each limit, where they are not all ``cost``, which then only says
    whether anything is counted. With ``is_owed`` the cost is counted whether it fits or
    not: it was used already. ``is_local``: what it settles was counted in this process's
    memory, because the store was away.
    """

    principal: str
    limits: tuple[Limit, ...]
    cost: int
    commit: bool = True
    reserve: int = 0
    ahead: int = 0
    given_back: tuple[GiveBack, ...] = ()
    costs: tuple[int, ...] = ()
    is_owed: bool = False
    is_local: bool = False

    @property
    def all_costs(self) -> tuple[int, ...]:
        """The cost at each limit."""
        return self.costs or (self.cost,) * len(self.limits)


class Counter(Protocol):
    """A place where cost units are counted."""

    def check(self, check: LimitCheck) -> Decision:
        """Check the cost against all limits, and count it if it is admitted.

        Raises:
            CounterUnavailable: the limits were not counted.
        """
        ...

    def read(self, principal: str, limits: tuple[Limit, ...]) -> Decision:
        """Return what is used of these limits now; counts and writes nothing.

        Raises:
            CounterUnavailable: the place where they are counted does not answer.
        """
        ...

    def reset(self, principal: str, limit_keys: Sequence[int | str]) -> int:
        """Forget what ``principal`` has used of the limits with these keys.

        That takes effect when the leases have ended that processes hold, so that never more
        than the amount is admitted after it: within two seconds, at once where there are none.

        Returns:
            The microseconds until then.

        Raises:
            CounterUnavailable: it is not known whether they were reset.
        """
        ...


@lru_cache(maxsize=4096)
def hash_principal(principal: str) -> str:
    """32 hexadecimal digits that stand for ``principal`` in a store's keys."""
    text = principal.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def key_for(prefix: str, principal_hash: str, limit_key: int | str) -> str:
    """Return the store's key of one limit (``Limit.key``) of one principal.

    The braces keep all keys of a principal on one slot of a Redis cluster. No
    policy revision is part of it: every save would grant the quota again.
    """
    return f"{prefix}:{{{principal_hash}}}:{limit_key}"


def decision_of(
    now: int,
    counted: Sequence[tuple[Limit, bool, int, int, int | None]],
    *,
    allowed: bool,
    reserved: int = 0,
    may_return: bool = False,
) -> Decision:
    """Return a decision from plain (limit, fits, used, wait, reset) rows."""
    decision = Decision.of(allowed, now, [Counted(*row) for row in counted])
    return decision._replace(reserved=reserved, may_return=may_return)
