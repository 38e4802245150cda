"""Faults in counting that are no outage of the store, each under its own name.

A defect is an exception that no store raises: a mistake of ours or of a library.
An exhausted pool means that this process has fewer connections than threads. A
fault may come with every request, so that each is logged once a minute only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from .base import PoolExhausted

logger = logging.getLogger(__name__)

LOGGED_EVERY_SECONDS = 60.0
# Names come from the code, so there are few; a bound all the same.
MAX_NAMES = 100


class Fault(NamedTuple):
    """``kind``, and a short ``name``: an exception and the line that raised it, or the pool."""

    kind: Literal["defect", "pool"]
    name: str


class FaultLog:
    """Logs faults and passes them on; thread-safe.

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
