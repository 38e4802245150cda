"""A circuit breaker: who asks a store that does not answer waits only so often.

After ``FAILURES`` failures in a row nobody asks any more; after a pause one
caller probes, alone, while the others go on without the store. A probe that
fails doubles the pause, up to ``LONGEST_PAUSE``; one that succeeds closes the
circuit. So only calls in flight when the circuit opens, and single probes,
are slowed by a store that hangs.

A report counts only in the phase in which its call was allowed: a call from
before the circuit opened, which ends late, neither closes it nor passes for
the probe. A probe of which nothing is heard for ``LONGEST_PAUSE`` (its thread
died, or this process was forked meanwhile) is given up, and another is made.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

FAILURES = 3
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """A stretch of time in which the breaker does not change its mind; compared by identity.

    ``probe_at`` is when the next probe may start, None while the circuit is
    closed; ``pause`` is what was waited for it, in seconds.
    """

    probe_at: float | None = None
    pause: float = 0.0


class Breaker:
    """Thread-safe; takes no lock while the store is well, nor while it is left alone.

    Args:
        on_change: called once per change, in order, with whether the store is
            away. It runs under the lock: it must be quick and must not raise.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        on_change: Callable[[bool], None] = lambda away: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_change = on_change
        self._clock = clock
        # Reentrant: on_change may look at the breaker, or ask through it.
        self._lock = threading.RLock()
        self._phase = Phase()
        self._failures = 0

    @property
    def away(self) -> bool:
        """Whether the store is taken to be away."""
        return self._phase.probe_at is not None

    def allowed(self) -> Phase | None:
        """The phase in which the store may be asked now, to report back with; else None."""
        phase = self._phase
        if phase.probe_at is None:
            return phase
        now = self._clock()
        if now < phase.probe_at:
            return None
        with self._lock:
            # Somebody else was faster.
            if self._phase is not phase:
                return None
            self._phase = Phase(now + LONGEST_PAUSE, phase.pause)
            return self._phase

    def succeeded(self, phase: Phase) -> None:
        """The store answered a call of ``phase``."""
        if phase.probe_at is None and not self._failures:
            return
        with self._lock:
            if self._phase is not phase:
                return
            self._failures = 0
            if phase.probe_at is not None:
                self._phase = Phase()
                self._on_change(False)

    def failed(self, phase: Phase) -> None:
        """The store did not answer a call of ``phase``, or not in time."""
        with self._lock:
            if self._phase is not phase:
                return
            if phase.probe_at is not None:
                self._pause(min(2 * phase.pause, LONGEST_PAUSE))
                return
            self._failures += 1
            if self._failures >= FAILURES:
                self._failures = 0
                self._pause(FIRST_PAUSE)
                self._on_change(True)

    def _pause(self, seconds: float) -> None:
        self._phase = Phase(self._clock() + seconds, seconds)
