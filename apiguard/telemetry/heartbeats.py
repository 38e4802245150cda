"""Heartbeats: each worker says which policy it holds, in the registry of workers.

Times in a ``Heartbeat`` are ages, because the clocks of two machines differ.
``HeartbeatSender`` writes those of this process, about once a second while the
process works, from a thread of its own: a database that hangs is worth
reporting, and holds up the thread that writes numbers. A heartbeat that cannot
be sent is dropped and counted; a process that ends removes its entry.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from .. import conf
from .periodic import EVERY_SECONDS, PeriodicThread
from .process import process_name
from .worker_registry import MAX_LENGTH, WorkerRegistry

logger = logging.getLogger("apiguard.telemetry")

LONGEST_ERROR = 200
# More seconds than anything here lasts, about thirty years.
LONGEST_AGE = 1e9
# How long the end of a process waits until its entry is removed.
SIGN_OFF_SECONDS = 2.0


class PolicyStatus(Protocol):
    """What a heartbeat takes from ``policy.status.PolicyStatus``."""

    @property
    def revision(self) -> int | None: ...
    @property
    def stamp(self) -> str: ...
    @property
    def refreshed_at(self) -> float | None: ...
    @property
    def delay(self) -> float | None: ...
    @property
    def failed_since(self) -> float | None: ...
    @property
    def error(self) -> str: ...
    @property
    def problems(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The state of one worker when it wrote this.

    Attributes:
        revision, stamp: of the policy in force there; ``None``, "": none.
        refreshed: seconds since it last read the state of the database.
        delay: seconds from publication until the revision was in force there.
        failing: seconds for which its refreshes have failed; ``None``: they do not.
        refreshing_for: seconds for which a refresh has been under way; ``None``: none is.
        error: why the last refresh failed; "" where it did not.
        problems: how many mistakes it finds in the policy.
    """

    revision: int | None = None
    stamp: str = ""
    refreshed: float | None = None
    delay: float | None = None
    failing: float | None = None
    refreshing_for: float | None = None
    error: str = ""
    problems: int = 0

    @classmethod
    def from_status(cls, status: PolicyStatus, refreshing_for: float | None = None) -> Heartbeat:
        """Build the heartbeat of this moment."""
        now = time.time()
        return cls(
            status.revision,
            status.stamp,
            _since(status.refreshed_at, now),
            status.delay,
            _since(status.failed_since, now),
            refreshing_for,
            status.error[:LONGEST_ERROR],
            status.problems,
        )

    def text(self) -> str:
        """Return the heartbeat as a JSON object in ASCII."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Heartbeat | None:
        """Read what ``text`` holds, member by member; ``None`` for no heartbeat. Never raises."""
        try:
            members = json.loads(text) if len(text) <= MAX_LENGTH else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(members, dict):
            return None
        return cls(
            _whole(members.get("revision")),
            plain(members.get("stamp"), 32),
            _age(members.get("refreshed")),
            _age(members.get("delay")),
            _age(members.get("failing")),
            _age(members.get("refreshing_for")),
            plain(members.get("error"), LONGEST_ERROR),
            _whole(members.get("problems")) or 0,
        )


def plain(value: object, length: int) -> str:
    """Return the beginning of a text as one line that can be shown; "" for what is no text."""
    if not isinstance(value, str):
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in value[:length])


def _since(at: float | None, now: float) -> float | None:
    # Clocks are set back at times.
    return None if at is None else round(max(0.0, now - at), 3)


def _age(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= LONGEST_AGE else None


def _whole(value: Any) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**63 else None


class HeartbeatSender:
    """Writes the heartbeats of this process; ``note_refresh`` is all that a request calls."""

    def __init__(self) -> None:
        self._status: Callable[[], PolicyStatus] | None = None
        self._registry: Callable[[conf.Settings], WorkerRegistry | None] = lambda settings: None
        self._thread = PeriodicThread("apiguard-workers", self._send, self._idle_timeout)
        self._start_over()

    def _start_over(self) -> None:
        self._thread.forget()
        # Monotonic seconds; ``None``: no refresh is under way.
        self._refreshing_since: float | None = None
        self._has_sent = False
        self._is_away = False
        self._signing_off = False
        self._signed_off = threading.Event()
        self.dropped = 0

    def configure(
        self,
        status: Callable[[], PolicyStatus],
        registry: Callable[[conf.Settings], WorkerRegistry | None],
    ) -> None:
        """Set what is sent and, by the settings of the moment, where to; does nothing yet.

        Args:
            status: answers at once, without I/O.
        """
        self._status, self._registry = status, registry

    def note_refresh(self, is_begun: bool) -> None:
        """Policy begins to read the state of the database, or has ended to, well or not."""
        self._refreshing_since = time.monotonic() if is_begun else None
        self._thread.wake()

    def now(self) -> Heartbeat | None:
        """Build the heartbeat of this process; ``None`` while it never needed any policy."""
        if self._status is None:
            return None
        since = self._refreshing_since
        refreshing_for = None if since is None else round(time.monotonic() - since, 3)
        beat = Heartbeat.from_status(self._status(), refreshing_for)
        has_begun = (beat.revision, beat.refreshed, beat.failing, refreshing_for) != (None,) * 4
        return beat if has_begun else None

    def sign_off(self) -> None:
        """Remove the entry of this process; waits ``SIGN_OFF_SECONDS`` at most."""
        if self._has_sent and self._thread.is_running:
            self._signing_off = True
            self._thread.run_now()
            self._signed_off.wait(SIGN_OFF_SECONDS)

    def _idle_timeout(self) -> float | None:
        # A refresh that hangs is not followed by another one that would wake the thread.
        return None if self._refreshing_since is None else EVERY_SECONDS

    def _send(self) -> None:
        try:
            settings = conf.current()
            registry, beat = self._registry(settings), self.now()
            # In tests a thread that an earlier one started goes on.
            if registry is None or beat is None or settings.policy_max_age is None:
                return
            if self._signing_off:
                registry.remove(process_name())
                self._signed_off.set()
                return
            self._has_sent = True
            registry.write(process_name(), beat.text())
        except Exception as error:  # noqa: BLE001 - whatever it is, no request pays for it
            self._drop(error)
        else:
            self._is_away = False

    def _drop(self, error: Exception) -> None:
        self.dropped += 1
        if not self._is_away:
            # Its text may hold an address with a password.
            logger.warning("Heartbeats cannot be sent to Redis: %s.", type(error).__name__)
        self._is_away = True
        self._signed_off.set()


sender = HeartbeatSender()
os.register_at_fork(after_in_child=sender._start_over)
