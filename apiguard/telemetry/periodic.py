"""A thread away from requests that runs one function, about a second after it was woken.

Waking the thread costs a request next to nothing and never fails; however often it is
woken, the function runs at most once a second, or as seldom as its owner wants. The
thread starts with the first call, sleeps while nobody calls, is replaced if an unforeseen
error ended it, and keeps no database connection open while it sleeps. With
``POLICY_MAX_AGE: None`` (tests) there is no thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from django.db import connections

from .. import conf
from ..concurrency import wait

EVERY_SECONDS = 1.0


class PeriodicThread:
    """One daemon thread, or none yet.

    Args:
        name: of the thread.
        run: the function; an exception ends the thread.
        idle_timeout: seconds after which it runs although nobody woke it; ``None``: never.
        every: seconds between being woken and running.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[], None],
        idle_timeout: Callable[[], float | None] = lambda: None,
        every: Callable[[], float] = lambda: EVERY_SECONDS,
    ) -> None:
        self._name, self._run = name, run
        self._idle_timeout, self._every = idle_timeout, every
        self.forget()

    def forget(self) -> None:
        """Start over, as in a process that was forked: the thread stayed with its parent."""
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._at_once = threading.Event()
        # Set after a run that began later than they came.
        self._waiters: deque[threading.Event] = deque()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Have the thread run within about a second."""
        if not self.is_running:
            self._start()
        self._woken.set()

    def run_now(self) -> None:
        """Have the thread run now; starts none."""
        self._at_once.set()
        self._woken.set()

    def run_and_wait(self, seconds: float) -> bool:
        """Have the thread run now, and wait until it has; False if it could not in time."""
        if not self.is_running:
            return False
        has_run = threading.Event()
        self._waiters.append(has_run)
        self.run_now()
        return wait(has_run, seconds)

    def _start(self) -> None:
        if conf.current().policy_max_age is None:
            return
        with self._lock:
            if self.is_running:
                return
            self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # No thread can be had now; the next call tries again.
                self._thread = None

    def _loop(self) -> None:
        while True:
            self._woken.wait(self._idle_timeout())
            self._woken.clear()
            self._at_once.wait(self._every())
            self._at_once.clear()
            waiters = [self._waiters.popleft() for _ in range(len(self._waiters))]
            # One that began before the tests did.
            if not conf.current().testing:
                try:
                    self._run()
                finally:
                    # A database may end idle connections, and this thread is mostly idle.
                    connections.close_all()
            for has_run in waiters:
                has_run.set()
