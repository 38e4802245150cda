"""Numbers and last uses, gathered in memory and written about once a second.

A request only adds to a dictionary. A thread of this process flushes, soon
after there is something to write; a flush that fails is dropped and
counted, never retried at a request's expense. Only outages of the counter,
which are few, wait for the next flush instead. With ``POLICY_MAX_AGE: None``
(tests) nothing is written unless ``flush()`` is called.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from datetime import datetime

from django.db import close_old_connections, connections
from django.utils import timezone

from .. import conf
from ..models import CounterOutage, HourlyCount, ShadowCount, UntrustedProxy
from ..models.incidents import SAID_AGAIN
from ..models.numbers import hour_of
from ..models.state import write_alias
from .last_use import LastUse
from .process import process_name
from .pulse import Pulse
from .waiting import Waiting

logger = logging.getLogger("apiguard.telemetry")

# Changes of the counter's store that wait to be written; the newest are kept.
MAX_OUTAGES = 100


class Buffer:
    """What happened in this process since the last flush."""

    def __init__(self) -> None:
        self._pulse = Pulse("apiguard-telemetry", self._beat, self._patience)
        self._reset()

    def _reset(self) -> None:
        self._pulse.forget()
        self._lock = threading.Lock()
        self._waiting = Waiting()
        self._last_use = LastUse()
        self._outages: deque[tuple[bool, datetime]] = deque(maxlen=MAX_OUTAGES)
        self._away = False
        self._said_away: datetime | None = None
        self._forgot: datetime | None = None
        self.dropped = 0

    # -- called by requests -------------------------------------------------------

    def refused(self, route_pk: int, outcome: str, enforced: bool) -> None:
        """Count one refusal, or what would have been one."""
        with self._lock:
            self.dropped += not self._waiting.add_refused((route_pk, str(outcome), enforced))
        self._start()

    def shadow(self, limit_pk: int, principal: str) -> None:
        """Count one request that a shadow limit would have refused."""
        principal = principal[: ShadowCount.MAX_PRINCIPAL]
        with self._lock:
            self.dropped += not self._waiting.add_shadowed(limit_pk, principal)
        self._start()

    def used(self, key_pk: int) -> None:
        """Note that a key was good for something; within a minute of the last time, nothing."""
        if key_pk in self._waiting.used or self._last_use.is_noted(key_pk):
            return
        with self._lock:
            self.dropped += not self._waiting.add_used(key_pk)
        self._start()

    def rehashed(self, key_pk: int, old: str, new: str, pepper_id: str) -> None:
        """Have a key's digest replaced by the one that a newer pepper made."""
        with self._lock:
            self.dropped += not self._waiting.add_rehashed(key_pk, old, new, pepper_id)
        self._start()

    def outage(self, away: bool, at: datetime) -> None:
        """Note that the counter's store went away from this process, or came back."""
        with self._lock:
            self._outages.append((away, at))
            self._away = away
        self._start()

    def proxy(self, address: str) -> None:
        """Note a proxy that is not trusted; the caller bounds how many there are."""
        with self._lock:
            self._waiting.proxies.add(address)
        self._start()

    # -- away from requests -------------------------------------------------------

    def flush(self) -> None:
        """Write everything that waits, now, in this thread."""
        with self._lock:
            waiting, self._waiting = self._waiting, Waiting()
        at = timezone.now()
        try:
            alias = write_alias()
            self._write_outages(alias, at)
            self._write(waiting, alias, at)
            self._forget(alias, at)
        except Exception as error:  # noqa: BLE001 - whatever it is, no request pays for it
            self.dropped += waiting.size
            logger.warning("Numbers of %s are lost: %s", waiting, error)

    def _write(self, waiting: Waiting, alias: str, at: datetime) -> None:
        # A request that came between two flushes may have asked before the first was done.
        waiting.used = {pk for pk in waiting.used if not self._last_use.is_noted(pk)}
        used = frozenset(waiting.used)
        try:
            waiting.write(alias, at)
        finally:
            # Tests start over with other rows under the same numbers.
            if conf.current().policy_max_age is not None:
                self._last_use.note(used - waiting.used)

    def _write_outages(self, alias: str, now: datetime) -> None:
        rows = CounterOutage.objects.using(alias)
        while self._outages:
            away, at = self._outages[0]
            rows.note(process_name(), away, at)
            self._outages.popleft()
            self._said_away = at
        if self._away and (self._said_away is None or now - self._said_away >= SAID_AGAIN):
            rows.still(process_name(), now)
            self._said_away = now

    def _forget(self, alias: str, now: datetime) -> None:
        """Delete what nobody looks at any more, once an hour."""
        if self._forgot == hour_of(now):
            return
        for model in (HourlyCount, ShadowCount, CounterOutage, UntrustedProxy):
            model.objects.using(alias).forget(now)
        self._forgot = hour_of(now)

    def _start(self) -> None:
        self._pulse.wake()

    def _patience(self) -> float | None:
        # While the store is away the process says so, also when nobody calls.
        return SAID_AGAIN.total_seconds() if self._away else None

    def _beat(self) -> None:
        close_old_connections()
        self.flush()
        connections.close_all()


buffer = Buffer()
os.register_at_fork(after_in_child=buffer._reset)
