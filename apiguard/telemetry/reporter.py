"""This worker's word to the others: which policy it holds, at most once a second while it works.

Policy says when it looks at the database, which a worker at work does once
per ``POLICY_MAX_AGE``; so a request pays for nothing here. The rest is done by
a thread of its own, because what is worth telling most, a database that
hangs, is what the thread that writes numbers hangs in. A report that cannot be
left is dropped and counted. A process that ends takes its word back.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable

from .. import conf
from .board import Board
from .process import process_name
from .pulse import EVERY_SECONDS, Pulse
from .report import Report, Standing

logger = logging.getLogger("apiguard.telemetry")

# How long the end of a process waits until its word is taken back.
FAREWELL_SECONDS = 0.5


class Reporter:
    """What this process says of itself, and to whom."""

    def __init__(self) -> None:
        self._standing: Callable[[], Standing] | None = None
        self._board: Callable[[conf.Settings], Board | None] = lambda settings: None
        self._pulse = Pulse("apiguard-workers", self._beat, self._patience)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pulse.forget()
        # Monotonic seconds; ``None``: nobody is looking.
        self._looking_since: float | None = None
        self._has_said = False
        self._is_away = False
        self._leaving = False
        self._left = threading.Event()
        self.dropped = 0

    def begin(
        self, standing: Callable[[], Standing], board: Callable[[conf.Settings], Board | None]
    ) -> None:
        """Be told what to say and, by the settings of the moment, where; nothing is done yet.

        Args:
            standing: answers at once, without I/O.
        """
        self._standing, self._board = standing, board

    def looking(self, is_begun: bool) -> None:
        """Policy begins to look at the database, or has ended to, well or not."""
        self._looking_since = time.monotonic() if is_begun else None
        self._pulse.wake()

    def now(self) -> Report | None:
        """What this process would say now; ``None`` while it never asked for policy."""
        if self._standing is None:
            return None
        since = self._looking_since
        waiting = None if since is None else round(time.monotonic() - since, 3)
        report = Report.of(self._standing(), waiting)
        has_asked = (report.revision, report.looked, report.failing, waiting) != (None,) * 4
        return report if has_asked else None

    def leave(self) -> None:
        """Take back what this process has said; waits ``FAREWELL_SECONDS`` at most."""
        if self._has_said and self._pulse.is_running:
            self._leaving = True
            self._pulse.hurry()
            self._left.wait(FAREWELL_SECONDS)

    def _patience(self) -> float | None:
        # A look that hangs is not followed by another one that would wake anybody.
        return None if self._looking_since is None else EVERY_SECONDS

    def _beat(self) -> None:
        try:
            settings = conf.current()
            board, report = self._board(settings), self.now()
            # In tests a thread that an earlier one started goes on.
            if board is None or report is None or settings.policy_max_age is None:
                return
            if self._leaving:
                board.remove(process_name())
                self._left.set()
                return
            self._has_said = True
            board.write(process_name(), report.text())
        except Exception as error:  # noqa: BLE001 - whatever it is, no request pays for it
            self._drop(error)
        else:
            self._is_away = False

    def _drop(self, error: Exception) -> None:
        self.dropped += 1
        if not self._is_away:
            # Its text may hold an address with a password.
            logger.warning("Other workers cannot be told of this one: %s.", type(error).__name__)
        self._is_away = True
        self._left.set()


reporter = Reporter()
atexit.register(reporter.leave)
os.register_at_fork(after_in_child=reporter._begin_anew)
