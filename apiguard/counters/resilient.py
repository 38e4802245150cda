"""A shared store, and what each limit wants to happen while it is away.

``local``: counted in this process's memory, so N processes together admit up
to N times the amount. ``open``: not counted. ``closed``: nothing is admitted,
and that is an exception of its own, never a denial. A shadow limit that is
``closed`` refuses nobody: it is not counted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..rules.limits import Decision, Limit
from .base import Asking, Counter, StoreFailed, in_two_steps, waited_for
from .breaker import Breaker

logger = logging.getLogger(__name__)


class ResilientCounter:
    """Asks ``store`` while its breaker allows it, else decides as the limits say.

    Args:
        store: may raise ``StoreFailed``; every such failure is logged.
        local: counts what says ``local`` while the store is away; never fails.
        breaker: the store's own, shared by all who ask it.
    """

    def __init__(self, store: Counter, local: Counter, breaker: Breaker) -> None:
        self._store = store
        self._ask = in_two_steps(store)
        self._local = local
        self.breaker = breaker

    def decide(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool = True
    ) -> Decision:
        """As ``Counter.decide``; what was not counted is not in the decision.

        Raises:
            StoreFailed: the store is away, and one of the limits is ``closed``.
        """
        return waited_for(self.asking(principal, limits, cost, commit=commit))

    def asking(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool = True
    ) -> Asking:
        """As ``decide``, with a stop where the store has one."""
        # No limits ask nobody, and so say nothing about the store.
        phase = self.breaker.allowed() if limits else None
        if phase is not None:
            try:
                decision = yield from self._ask(principal, limits, cost, commit=commit)
            except StoreFailed as error:
                self.breaker.failed(phase)
                logger.warning("The counter's store failed. %s", error)
            except GeneratorExit:
                # Nobody waits any more. That says nothing about the store; but who
                # probes, probes alone, and must say something.
                if phase.probe_at is not None:
                    self.breaker.failed(phase)
                raise
            except BaseException:
                self.breaker.failed(phase)
                raise
            else:
                self.breaker.succeeded(phase)
                return decision
        return self._without_store(principal, limits, cost, commit=commit)

    def _without_store(
        self, principal: str, limits: Sequence[Limit], cost: int, *, commit: bool
    ) -> Decision:
        closed = [
            limit.name
            for limit in limits
            if limit.on_store_failure == "closed" and not limit.shadow
        ]
        if closed:
            raise StoreFailed(f"the counter is away, and {', '.join(closed)} must be counted")
        counted_here = [limit for limit in limits if limit.on_store_failure == "local"]
        return self._local.decide(principal, counted_here, cost, commit=commit)
