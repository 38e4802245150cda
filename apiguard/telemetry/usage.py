"""Usage: requests are counted in memory and added to the table about every 15 seconds.

A request adds one to an entry of a dictionary: no query, no round trip. A statement
that fails is not repeated, because it may have been executed; its requests are counted
as lost, in the log and, with the next flush, in the table.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections import Counter
from datetime import datetime

from django.utils import timezone

from .. import conf
from ..models.hourly_counts import hour_of
from ..models.usage import (
    LOST,
    NOBODY,
    OTHERS,
    OVERRUN,
    SETTLED,
    UsageKey,
    count_requests,
    usage_rows,
)
from .periodic import PeriodicThread

logger = logging.getLogger("apiguard.telemetry")

# Different entries between two flushes; after that, clients and keys are not distinguished.
MAX_ENTRIES = 10_000
# Seconds between two flushes: 15, but not the same in all processes.
SHORTEST_PAUSE, LONGEST_PAUSE = 12.0, 18.0
# Batches of old rows that are added up or deleted after one flush; the next flush goes on.
OLD_BATCHES = 10

# Route, client, key, outcome, enforced: a plain tuple, which costs a request less.
Entry = tuple[int, int, int, str, bool]


class UsageRecorder:
    """The requests of this process since the last flush."""

    def __init__(self) -> None:
        self._thread = PeriodicThread("apiguard-usage", self.flush, every=_pause)
        self.reset()

    def reset(self) -> None:
        """Start with nothing, as after a fork."""
        self._thread.forget()
        self._lock = threading.Lock()
        self._counts: dict[Entry, int] = {}
        # When the first of these requests came; a flush belongs to that hour.
        self._began: datetime | None = None
        # Requests that could not be written, to be written as such.
        self._lost = 0
        self._tidied: datetime | None = None
        self.dropped = 0

    def record(
        self, route_pk: int, client_pk: int, key_pk: int, outcome: str, enforced: bool
    ) -> None:
        """Count one request."""
        entry = (route_pk, client_pk, key_pk, outcome, enforced)
        with self._lock:
            counts = self._counts
            count = counts.get(entry)
            if count is not None:
                counts[entry] = count + 1
                return
            self._add(entry, 1)
        self._thread.wake()

    def record_overrun(self, route_pk: int, client_pk: int, key_pk: int) -> None:
        """Count a request that used more of a unit than it had reserved."""
        self.record(route_pk, client_pk, key_pk, OVERRUN, True)

    def record_units(
        self, route_pk: int, client_pk: int, key_pk: int, unit: str, amount: int
    ) -> None:
        """Count units that a view has settled."""
        with self._lock:
            self._add((route_pk, client_pk, key_pk, f"{SETTLED}{unit}", True), amount)
        self._thread.wake()

    def _add(self, entry: Entry, number: int) -> None:
        counts = self._counts
        if len(counts) >= MAX_ENTRIES and entry not in counts:
            entry = (entry[0], OTHERS, OTHERS, entry[3], entry[4])
            if entry not in counts and len(counts) >= 2 * MAX_ENTRIES:
                self._lost += not entry[3].startswith(SETTLED)
                self.dropped += 1
                return
        if self._began is None:
            self._began = timezone.now()
        counts[entry] = counts.get(entry, 0) + number

    # -- away from requests -------------------------------------------------------

    def flush(self) -> None:
        """Write everything that waits, now, in this thread."""
        with self._lock:
            counts, self._counts = self._counts, {}
            began, self._began = self._began, None
            lost, self._lost = self._lost, 0
        now = timezone.now()
        pending = Counter({UsageKey(*entry): count for entry, count in counts.items()})
        if lost:
            pending[UsageKey(NOBODY, NOBODY, NOBODY, LOST, True)] += lost
        keep_days = conf.current().usage_keep_days
        if not keep_days:
            return
        left = count_requests(pending.items())
        try:
            for written in usage_rows().add(hour_of(began or now), False, pending):
                left -= written
            self._tidy(now, keep_days)
        except Exception as error:  # noqa: BLE001 - whatever it is, no request pays for it
            with self._lock:
                self._lost += left
                self.dropped += left
            if left:
                logger.warning("The usage numbers of %d requests are lost: %s", left, error)
            else:
                logger.warning("Old usage numbers could not be added up: %s", error)

    def run_now(self) -> None:
        """Have the thread write now; waits for nothing."""
        self._thread.run_now()

    def finish(self, seconds: float) -> None:
        """Have everything that waits written before this process ends; waits so long at most."""
        self._thread.run_and_wait(seconds)

    def _tidy(self, now: datetime, keep_days: int) -> None:
        """Add hours up to days and delete what is old, once an hour, in small batches."""
        if self._tidied == hour_of(now):
            return
        rows = usage_rows()
        for _batch in range(OLD_BATCHES):
            # No "or": the one does not wait for the other.
            rolled_up, forgot = rows.roll_up(now), rows.forget(now, keep_days)
            if not rolled_up and not forgot:
                self._tidied = hour_of(now)
                return


def _pause() -> float:
    return random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE)  # noqa: S311 - not a secret


usage = UsageRecorder()
os.register_at_fork(after_in_child=usage.reset)
