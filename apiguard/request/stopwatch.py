"""Measures the time that the guard adds to a request, without the view and what is around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Runs from when it is made; ``seconds`` is what was measured before the last pause."""

    __slots__ = ("_begun", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begun = perf_counter()

    def pause(self) -> None:
        """Stop measuring."""
        self.seconds += perf_counter() - self._begun

    def resume(self) -> None:
        """Measure on."""
        self._begun = perf_counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure within a block, in which it was paused before."""
        self.resume()
        try:
            yield
        finally:
            self.pause()
