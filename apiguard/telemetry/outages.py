"""Outages of the counter's store and faults in counting, as this process sees them.

The functions are called inside requests; they neither wait for anything nor raise.
"""

from __future__ import annotations

import logging

from django.utils import timezone

from ..counters.breaker import Fault
from .background_signals import background_signals
from .buffer import buffer

logger = logging.getLogger("apiguard.counters")


def record_change(away: bool) -> None:
    """Log that the store went away or came back, and have it written away from requests."""
    if away:
        logger.warning(
            "The counter's store does not answer; limits are decided as each one says "
            "(local, open, closed)."
        )
    else:
        logger.warning("The counter's store answers again; limits are counted there.")
    try:
        buffer.outage(away, timezone.now())
        background_signals.counter_changed(away)
    except Exception:
        logger.exception("An outage of the counter cannot be recorded.")


def record_fault(fault: Fault) -> None:
    """Have a request that was decided without the store counted under the fault's name."""
    try:
        buffer.fault(fault.kind, fault.name)
    except Exception:
        logger.exception("A fault of the counter cannot be recorded.")
