"""A shared store, and what each limit wants to happen while it is away.

``local``: counted in this process's memory, so N processes together admit up
to N times the amount. ``open``: not counted. ``closed``: nothing is admitted,
and that is an exception of its own, never a denial. A shadow limit that is
``closed`` refuses nobody: it is not counted.

The same holds for a request that a defect or an exhausted pool of connections
kept from the store. Neither says anything about the store, so that neither opens
the circuit; ``FaultLog`` records them, each under its own name.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from ..concurrency import CircuitBreaker
from ..rules.limits import Decision, Limit
from .base import Counter, CounterUnavailable, LimitCheck, PoolExhausted, StoreFailed

logger = logging.getLogger(__name__)

LOGGED_EVERY_SECONDS = 60.0
# Names come from the code, so there are few; a bound all the same.
MAX_NAMES = 100


class Fault(NamedTuple):
    """A fault in counting that is no outage of the store.

    A defect is an exception that no store raises: a mistake of ours or of a library.
    An exhausted pool means that this process has fewer connections than threads.
    ``name`` is short: an exception and the line that raised it, or the pool.
    """

    kind: Literal["defect", "pool"]
    name: str


class FaultLog:
    """Logs faults and passes them on; thread-safe.

    A fault may come with every request, so that each is logged once a minute only.

    Args:
        on_fault: called with every fault. It must be quick and must not raise.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        on_fault: Callable[[Fault], None] = lambda fault: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_fault = on_fault
        self._clock = clock
        self._lock = threading.Lock()
        self._logged: dict[Fault, float] = {}

    def record_defect(self, error: Exception) -> None:
        """Record an exception that no store raises, with its traceback."""
        fault = Fault("defect", _name_of(error))
        if self._is_due(fault):
            logger.error(
                "A defect keeps limits from being counted: %s. Each limit is decided as its "
                "on_store_failure says.",
                fault.name,
                exc_info=error,
            )
        self._on_fault(fault)

    def record_exhausted_pool(self, error: PoolExhausted) -> None:
        """Record that no connection became free in time."""
        fault = Fault("pool", "connection pool exhausted")
        if self._is_due(fault):
            logger.warning(
                "The counter's connection pool is exhausted: %s. Redis was not called; each limit "
                "is decided as its on_store_failure says. Raise max_connections to the number "
                "of threads.",
                error,
            )
        self._on_fault(fault)

    def _is_due(self, fault: Fault) -> bool:
        now = self._clock()
        with self._lock:
            if now < self._logged.get(fault, now):
                return False
            if len(self._logged) >= MAX_NAMES:
                self._logged.clear()
            self._logged[fault] = now + LOGGED_EVERY_SECONDS
            return True


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
        if check.is_local:
            # What was counted here is settled here, also when the store is back.
            return self._local.check(check)
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

    def read(self, principal: str, limits: tuple[Limit, ...]) -> Decision:
        """As ``Counter.read``, of the store alone."""
        return self._store.read(principal, limits)

    def reset(self, principal: str, limit_keys: Sequence[int | str]) -> int:
        """As ``Counter.reset``, in the store and in this process's memory."""
        self._local.reset(principal, limit_keys)
        return self._store.reset(principal, limit_keys)

    def _check_without_store(self, check: LimitCheck) -> Decision:
        closed = [
            limit.name
            for limit in check.limits
            if limit.on_store_failure == "closed" and not limit.shadow
        ]
        if closed:
            raise CounterUnavailable(f"{', '.join(closed)} must be counted in the store")
        local = [
            (limit, cost)
            for limit, cost in zip(check.limits, check.all_costs, strict=True)
            if limit.on_store_failure == "local"
        ]
        # Nothing is reserved here, and what was reserved in the store is none of this count.
        limits, costs = tuple(each for each, _ in local), tuple(cost for _, cost in local)
        decision = self._local.check(
            LimitCheck(
                *(check.principal, limits, check.cost, check.commit),
                costs=costs if check.costs else (),
                is_owed=check.is_owed,
            )
        )
        return decision._replace(is_local=True)


def _name_of(error: Exception) -> str:
    """Such as "KeyError in cluster.py:812"; no message, which may hold data."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    name = type(error).__name__
    if traceback is None:
        return name
    file = traceback.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{name} in {file}:{traceback.tb_lineno}"
