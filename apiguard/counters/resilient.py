"""A shared store, and what each limit wants to happen while it is away.

``local``: counted in this process's memory, so N processes together admit up
to N times the amount. ``open``: not counted. ``closed``: nothing is admitted,
and that is an exception of its own, never a denial. A shadow limit that is
``closed`` refuses nobody: it is not counted.

The same holds for a request that a defect or an exhausted pool of connections
kept from the store. Neither says anything about the store, so that neither opens
the circuit.
"""

from __future__ import annotations

import logging

from ..concurrency import CircuitBreaker
from ..rules.limits import Decision
from .base import Counter, CounterUnavailable, LimitCheck, PoolExhausted, StoreFailed
from .faults import FaultLog

logger = logging.getLogger(__name__)


class ResilientCounter:
    """Uses ``store`` while its breaker allows it, else decides as the limits say.

    Args:
        store: may raise ``StoreFailed``; every such failure is logged.
        local: counts what says ``local`` while the store is away; never fails.
        breaker: the store's own, shared by all who use the store.
        faults: records defects and exhausted pools.
    """

    def __init__(
        self,
        store: Counter,
        local: Counter,
        breaker: CircuitBreaker,
        faults: FaultLog | None = None,
    ) -> None:
        self._store = store
        self._local = local
        self.breaker = breaker
        self._faults = faults or FaultLog()

    def check(self, check: LimitCheck) -> Decision:
        """As ``Counter.check``; a limit that was not counted is not in the decision.

        Raises:
            CounterUnavailable: the store was not used, and one of the limits is ``closed``.
        """
        # Without limits the store is not used, so nothing would be learnt about it.
        phase = self.breaker.allowed() if check.limits else None
        if phase is None:
            return self._check_without_store(check)
        try:
            decision = self._store.check(check)
        except StoreFailed as error:
            self.breaker.failed(phase)
            logger.warning("The counter's store failed. %s", error)
        except PoolExhausted as error:
            self.breaker.learnt_nothing(phase)
            self._faults.record_exhausted_pool(error)
        except Exception as error:  # noqa: BLE001 - a defect costs no request
            self.breaker.learnt_nothing(phase)
            self._faults.record_defect(error)
        except BaseException:
            self.breaker.failed(phase)
            raise
        else:
            self.breaker.succeeded(phase)
            return decision
        return self._check_without_store(check)

    def _check_without_store(self, check: LimitCheck) -> Decision:
        closed = [
            limit.name
            for limit in check.limits
            if limit.on_store_failure == "closed" and not limit.shadow
        ]
        if closed:
            raise CounterUnavailable(f"{', '.join(closed)} must be counted in the store")
        local = tuple(limit for limit in check.limits if limit.on_store_failure == "local")
        return self._local.check(check._replace(limits=local))
