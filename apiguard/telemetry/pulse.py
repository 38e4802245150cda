"""A thread away from requests, which does something about a second after it was asked to.

Waking it costs a request next to nothing and never fails; however often it
is woken, it beats at most once a second. It starts with the first call,
sleeps while nobody calls, and is replaced if an unforeseen error ended it.
With ``POLICY_MAX_AGE: None`` (tests) there is no thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .. import conf

EVERY_SECONDS = 1.0


class Pulse:
    """One daemon thread, or none yet.

    Args:
        name: of the thread.
        beat: what is done; what it raises ends the thread.
        patience: seconds after which it beats although nobody called; ``None``: never.
    """

    def __init__(
        self,
        name: str,
        beat: Callable[[], None],
        patience: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._name, self._beat, self._patience = name, beat, patience
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a process does that was forked: its thread stayed behind."""
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Have it beat within about a second."""
        if not self.is_running:
            self._start()
        self._woken.set()

    def hurry(self) -> None:
        """Have it beat now; no thread is started for that."""
        self._hurry.set()
        self._woken.set()

    def _start(self) -> None:
        if conf.current().policy_max_age is None:
            return
        with self._lock:
            if self.is_running:
                return
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # No thread can be had now; the next call tries again.
                self._thread = None

    def _run(self) -> None:
        while True:
            self._woken.wait(self._patience())
            self._woken.clear()
            self._hurry.wait(EVERY_SECONDS)
            self._hurry.clear()
            self._beat()
