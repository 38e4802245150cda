"""A circuit breaker: what failed several times in a row is left alone for a while.

Thread-safe; a forked child begins with a closed circuit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .concurrency import reset_after_fork

# Failures in a row after which a circuit opens.
FAILURES = 3
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0


def next_pause(pause: float) -> float:
    """Return how long to leave alone what failed once more after a pause (0: the first time)."""
    return min(2 * pause, LONGEST_PAUSE) if pause else FIRST_PAUSE


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """A stretch of time in which a breaker does not change its mind; compared by identity.

    ``probe_at`` is when the next probe may start, None while the circuit is
    closed; ``pause`` is what was waited for it, in seconds.
    """

    probe_at: float | None = None
    pause: float = 0.0


class CircuitBreaker:
    """Bounds how often callers wait for something that does not answer.

    After ``failures`` failures in a row the circuit opens: calls are not
    allowed. After a pause one caller probes, alone. A probe that fails doubles
    the pause, up to ``LONGEST_PAUSE``; one that succeeds closes the circuit. So
    only calls in flight when the circuit opens, and single probes, are slowed.

    A report counts only in the phase in which its call was allowed: a call from
    before the circuit opened, which ends late, neither closes it nor passes for
    the probe. A probe without a report for ``LONGEST_PAUSE`` (its thread died, or
    this process was forked meanwhile) is given up, and another is made.

    No lock is taken while all is well, nor while the circuit is open.

    Args:
        on_change: called once per change, in order, with whether the circuit is
            open now. It runs under the lock: it must be quick and must not raise.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        on_change: Callable[[bool], None] = lambda away: None,
        clock: Callable[[], float] = time.monotonic,
        failures: int = FAILURES,
    ) -> None:
        self._on_change = on_change
        self._clock = clock
        self._limit = failures
        self._phase = Phase()
        self._failures = 0
        self._renew_lock()
        reset_after_fork(self, CircuitBreaker._renew_lock)

    def _renew_lock(self) -> None:
        # Reentrant: on_change may read the breaker, or call through it.
        self._lock = threading.RLock()

    @property
    def away(self) -> bool:
        """Whether the circuit is open."""
        return self._phase.probe_at is not None

    def allowed(self) -> Phase | None:
        """Return the phase in which a call is allowed now, to report back with; else None."""
        phase = self._phase
        if phase.probe_at is None:
            return phase
        now = self._clock()
        if now < phase.probe_at:
            return None
        with self._lock:
            # Another thread was faster.
            if self._phase is not phase:
                return None
            self._phase = Phase(now + LONGEST_PAUSE, phase.pause)
            return self._phase

    def succeeded(self, phase: Phase) -> bool:
        """Report that a call of ``phase`` succeeded; return whether that closed the circuit."""
        if phase.probe_at is None and not self._failures:
            return False
        with self._lock:
            if self._phase is not phase:
                return False
            self._failures = 0
            if phase.probe_at is None:
                return False
            self._phase = Phase()
            self._on_change(False)
            return True

    def failed(self, phase: Phase) -> bool:
        """Report that a call of ``phase`` failed; return whether that opened the circuit."""
        with self._lock:
            if self._phase is not phase:
                return False
            if phase.probe_at is not None:
                self._pause(next_pause(phase.pause))
                return False
            self._failures += 1
            if self._failures < self._limit:
                return False
            self._failures = 0
            self._pause(FIRST_PAUSE)
            self._on_change(True)
            return True

    def learnt_nothing(self, phase: Phase) -> None:
        """Report that a call of ``phase`` says nothing; another probe may follow after a pause."""
        if phase.probe_at is not None:
            self.failed(phase)

    def close(self) -> None:
        """Forget all failures."""
        with self._lock:
            self._phase, self._failures = Phase(), 0

    def _pause(self, seconds: float) -> None:
        self._phase = Phase(self._clock() + seconds, seconds)
