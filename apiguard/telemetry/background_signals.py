"""Signals about what requests and the counter did, sent by a thread away from requests.

A request adds to a bounded queue, and only where a receiver is connected; without
receivers there is no thread. A receiver may take as long as it likes: it delays the
signals behind it, and where the queue is full, new ones are dropped and counted.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from typing import Any, NamedTuple

from django.dispatch import Signal
from django.utils import timezone

from ..bounded_cache import BoundedCache
from ..models import CounterOutage, Limit
from ..signals import counter_away, counter_back, limit_reached
from .periodic import PeriodicThread
from .process import process_name

logger = logging.getLogger("apiguard.telemetry")

# Signals that wait to be sent.
MAX_QUEUED = 1_000
# limit_reached is sent once in so many seconds for one principal and one limit.
REPEATED_AFTER_SECONDS = 60.0
# Pairs of a principal and a limit that are remembered for that.
MAX_REMEMBERED = 10_000


class _Queued(NamedTuple):
    signal: Signal
    sender: type[Any]
    arguments: dict[str, Any]


class BackgroundSignals:
    """The signals of this process that wait to be sent; thread-safe."""

    def __init__(self) -> None:
        self._thread = PeriodicThread("apiguard-signals", self.flush)
        self.reset()

    def reset(self) -> None:
        """Start with nothing, as after a fork."""
        self._thread.forget()
        self._queue: deque[_Queued] = deque()
        # (Principal, tier, limit) -> when limit_reached may be sent for them again.
        self._repeat_at: BoundedCache[tuple[str, str, str], float] = BoundedCache(MAX_REMEMBERED)
        self.dropped = 0

    def add(self, signal: Signal, sender: type[Any], **arguments: Any) -> None:
        """Have a signal sent soon, if anybody listens to it."""
        if not signal.has_listeners(sender):
            return
        if len(self._queue) >= MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.append(_Queued(signal, sender, arguments))
        self._thread.wake()

    def counter_changed(self, away: bool) -> None:
        """Announce that the counter's store went away from this process, or came back."""
        signal = counter_away if away else counter_back
        self.add(signal, CounterOutage, process=process_name(), at=timezone.now())

    def limits_reached(
        self, principal: str, *, client: str, tier: str, limits: tuple[str, ...], enforced: bool
    ) -> None:
        """Announce the limits that refused a request, each once a minute at most."""
        if not limit_reached.has_listeners(Limit):
            return
        now = time.monotonic()
        for limit in limits:
            key = (principal, tier, limit)
            repeat_at = self._repeat_at.get(key)
            if repeat_at is not None and now < repeat_at:
                continue
            self._repeat_at.put(key, now + REPEATED_AFTER_SECONDS)
            self.add(
                limit_reached,
                Limit,
                principal=principal,
                client=client,
                tier=tier,
                limit=limit,
                enforced=enforced,
                at=timezone.now(),
            )

    # -- away from requests -------------------------------------------------------

    def flush(self) -> None:
        """Send everything that waits, now, in this thread."""
        for _ in range(len(self._queue)):
            queued = self._queue.popleft()
            queued.signal.send_robust(queued.sender, **queued.arguments)

    def run_now(self) -> None:
        """Have the thread send now; waits for nothing."""
        self._thread.run_now()

    def finish(self, seconds: float) -> None:
        """Have everything that waits sent before this process ends; waits so long at most."""
        self._thread.run_and_wait(seconds)


background_signals = BackgroundSignals()
os.register_at_fork(after_in_child=background_signals.reset)
