"""Numbers and last uses, gathered in memory and written about once a second.

A request only adds to a dictionary. A thread of this process, started when
there is something to write, flushes; a flush that fails is dropped and
counted, never retried at a request's expense. With ``POLICY_MAX_AGE: None``
(tests) nothing is written unless ``flush()`` is called.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter

from django.db import close_old_connections, connections
from django.utils import timezone

from .. import conf
from ..models import ApiKey
from ..models.numbers import HourlyCount
from ..models.state import write_alias

logger = logging.getLogger("apiguard.telemetry")

EVERY_SECONDS = 1.0
# Distinct entries that wait for a flush; more are dropped and counted.
MAX_WAITING = 10_000


class Buffer:
    """What happened in this process since the last flush."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._refused: Counter[tuple[int, str, bool]] = Counter()
        self._used: set[int] = set()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def refused(self, route_pk: int, outcome: str, enforced: bool) -> None:
        """Count one refusal, or what would have been one."""
        entry = (route_pk, str(outcome), enforced)
        with self._lock:
            if entry in self._refused or len(self._refused) < MAX_WAITING:
                self._refused[entry] += 1
            else:
                self.dropped += 1
        self._start()

    def used(self, key_pk: int) -> None:
        """Note that a key was good for something."""
        if key_pk in self._used:
            return
        with self._lock:
            if len(self._used) < MAX_WAITING:
                self._used.add(key_pk)
            else:
                self.dropped += 1
        self._start()

    def flush(self) -> None:
        """Write everything that waits, now, in this thread."""
        with self._lock:
            refused, self._refused = self._refused, Counter()
            used, self._used = self._used, set()
        at = timezone.now()
        try:
            alias = write_alias()
            if used:
                ApiKey.objects.using(alias).touch(used, at)
                used = set()
            while refused:
                entry, count = next(iter(refused.items()))
                HourlyCount.objects.using(alias).add(at, *entry, count)
                del refused[entry]
        except Exception as error:  # noqa: BLE001 - whatever it is, no request pays for it
            lost = sum(refused.values())
            self.dropped += lost + len(used)
            logger.warning(
                "Numbers of %s refusals and %s uses of keys are lost: %s", lost, len(used), error
            )

    def _start(self) -> None:
        if self._is_running():
            self._wake.set()
            return
        if conf.current().policy_max_age is None:
            return
        with self._lock:
            if not self._is_running():
                self._thread = threading.Thread(
                    target=self._run, name="apiguard-telemetry", daemon=True
                )
                self._thread.start()
        self._wake.set()

    def _is_running(self) -> bool:
        # A thread that an unforeseen error ended is replaced.
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        stop = threading.Event()
        while True:
            self._wake.wait()
            self._wake.clear()
            stop.wait(EVERY_SECONDS)
            close_old_connections()
            self.flush()
            connections.close_all()


buffer = Buffer()
os.register_at_fork(after_in_child=buffer._reset)
