"""The counter's store went away from this process, or came back.

Made for a breaker's ``on_change``: called once per change, in order, inside a
request; it neither waits for anything nor raises.
"""

from __future__ import annotations

import logging

from django.utils import timezone

from .buffer import buffer

logger = logging.getLogger("apiguard.counters")


def note(away: bool) -> None:
    """Log the change, and have it written away from requests."""
    if away:
        logger.warning(
            "The counter's store does not answer; limits are decided as each one says "
            "(local, open, closed)."
        )
    else:
        logger.warning("The counter's store answers again; limits are counted there.")
    try:
        buffer.outage(away, timezone.now())
    except Exception:
        logger.exception("This change cannot be noted.")
