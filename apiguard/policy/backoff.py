"""When to try again what failed: after 1, 2, 4, 8 and then every 10 seconds."""

from __future__ import annotations

import threading

from . import clock

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0


class Backoff:
    """Counts failures in a row. Thread-safe; takes no lock while there are none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._at = 0.0

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._failures > 0

    @property
    def pause(self) -> float:
        """Seconds from the last failure to the next try; 0 while all is well."""
        doubled = FIRST_PAUSE * float(1 << min(max(self._failures - 1, 0), 9))
        return min(doubled, LONGEST_PAUSE) if self.failing else 0.0

    def is_over(self) -> bool:
        """Whether it is time to try, or nothing failed."""
        return not self.failing or clock.seconds() - self._at >= self.pause

    def is_known(self) -> bool:
        """Whether something failed so lately that it can be counted on to fail now."""
        return self.failing and clock.seconds() - self._at < 2 * self.pause + FIRST_PAUSE

    def claim(self) -> bool:
        """Whether the caller may try; after a failure one caller in each pause."""
        if not self.failing:
            return True
        with self._lock:
            if not self.is_over():
                return False
            self._at = clock.seconds()
            return True

    def failed(self) -> None:
        """A try failed."""
        with self._lock:
            self._failures += 1
            self._at = clock.seconds()

    def succeeded(self) -> None:
        """A try did not fail."""
        if self.failing:
            with self._lock:
                self._failures = 0
