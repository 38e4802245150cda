"""Numbers and last uses, gathered in memory and written about once a second.

A request only adds to a dictionary. A thread of this process flushes, soon
after there is something to write; what a failed flush could not write is dropped
and counted, never retried at a request's expense. Only outages of the counter,
which are few, wait for the next flush instead. With ``POLICY_MAX_AGE: None``
(tests) nothing is written unless ``flush()`` is called.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Sized
from datetime import datetime

from django.utils import timezone

from .. import conf
from ..models import (
    ApiKey,
    CounterFault,
    CounterOutage,
    HourlyCount,
    ObservedHeader,
    ShadowCount,
    UntrustedProxy,
    WebhookStatus,
)
from ..models.hourly_counts import hour_of
from ..models.incidents import REPEATED_AFTER
from ..models.state import write_alias
from .background_signals import background_signals
from .expiring_keys import ExpiringKeys
from .last_use import LastUse
from .periodic import PeriodicThread
from .process import process_name
from .refusal_buffer import RefusalBuffer, RefusalKind, RefusedRequest

logger = logging.getLogger("apiguard.telemetry")

# Tables whose old rows are deleted once an hour.
PRUNED_TABLES = (
    HourlyCount,
    ShadowCount,
    CounterOutage,
    CounterFault,
    UntrustedProxy,
    ObservedHeader,
    WebhookStatus,
)

# Changes of the counter's store that wait to be written; the newest are kept.
MAX_OUTAGES = 100

# Different faults of the counter that wait to be written.
MAX_FAULTS = 100

# Headers of observing routes that wait to be written.
MAX_HEADERS = 1_000

# Distinct entries of a kind that wait for a flush; more are dropped and counted.
MAX_ENTRIES = 10_000
# Distinct (limit, principal) pairs; more principals are counted together.
MAX_SHADOWED = 1_000
# Keys of one statement; databases bound how many values it may hold.
TOUCHED_AT_ONCE = 1_000


class PendingWrites:
    """Entries between two flushes; not thread-safe by itself."""

    def __init__(self) -> None:
        self.refused: Counter[tuple[int, str, bool]] = Counter()
        self.shadowed: Counter[tuple[int, str]] = Counter()
        # Key -> the network that it was used from, as far as that is known.
        self.used: dict[int, str] = {}
        # Key -> its digest until now, the new one, and the pepper that made it.
        self.rehashed: dict[int, tuple[str, str, str]] = {}
        self.proxies: set[str] = set()
        self.faults: Counter[tuple[str, str]] = Counter()
        # Route, header, change -> value, example, revision.
        self.headers: dict[tuple[int, str, str], tuple[str, str, int]] = {}

    def add_refused(self, entry: tuple[int, str, bool]) -> bool:
        """Count a refusal; False where there is no room."""
        if entry not in self.refused and len(self.refused) >= MAX_ENTRIES:
            return False
        self.refused[entry] += 1
        return True

    def add_shadowed(self, limit_pk: int, principal: str) -> bool:
        """Count what a shadow limit would have refused; without room, of nobody in particular."""
        entry = (limit_pk, principal)
        if entry not in self.shadowed and len(self.shadowed) >= MAX_SHADOWED:
            entry = (limit_pk, "")
            if entry not in self.shadowed and len(self.shadowed) >= MAX_ENTRIES:
                return False
        self.shadowed[entry] += 1
        return True

    def add_used(self, key_pk: int, network: str) -> bool:
        """Note the use of a key; False where there is no room."""
        if len(self.used) >= MAX_ENTRIES:
            return False
        self.used[key_pk] = network
        return True

    def add_rehashed(self, key_pk: int, old: str, new: str, pepper_id: str) -> bool:
        """Note the digest that a newer pepper made; False where there is no room."""
        if len(self.rehashed) >= MAX_ENTRIES:
            return False
        self.rehashed[key_pk] = (old, new, pepper_id)
        return True

    def add_fault(self, kind: str, name: str) -> bool:
        """Count a request that a fault kept from being counted; False where there is no room."""
        if (kind, name) not in self.faults and len(self.faults) >= MAX_FAULTS:
            return False
        self.faults[kind, name] += 1
        return True

    def write(self, alias: str, at: datetime) -> None:
        """Write all entries to the database ``alias``; a written entry is removed at once."""
        used = sorted(self.used)
        for start in range(0, len(used), TOUCHED_AT_ONCE):
            batch = used[start : start + TOUCHED_AT_ONCE]
            ApiKey.objects.using(alias).touch(batch, at, self.used)
            for key_pk in batch:
                del self.used[key_pk]
        # Lists, because what comes first in a dict from which much was deleted is found slowly.
        for key_pk, (old, new, pepper_id) in list(self.rehashed.items()):
            keys = ApiKey.objects.using(alias)
            keys.rehash(key_pk, old_digest=old, digest=new, pepper_id=pepper_id)
            del self.rehashed[key_pk]
        for refusal, count in list(self.refused.items()):
            HourlyCount.objects.using(alias).add(at, *refusal, count)
            del self.refused[refusal]
        for shadow, count in list(self.shadowed.items()):
            ShadowCount.objects.using(alias).add(at, *shadow, count)
            del self.shadowed[shadow]
        for (kind, name), count in list(self.faults.items()):
            CounterFault.objects.using(alias).add(kind, name, count, at)
            del self.faults[kind, name]
        for (route_pk, name, change), (value, example, revision) in list(self.headers.items()):
            of = {"value": value, "example": example, "revision": revision}
            ObservedHeader.objects.using(alias).seen(route_pk, name, change, at, **of)
            del self.headers[route_pk, name, change]
        for address in list(self.proxies):
            UntrustedProxy.objects.using(alias).seen(address, at)
            self.proxies.discard(address)

    @property
    def size(self) -> int:
        """How many events are not written yet."""
        counted = sum(self.refused.values()) + sum(self.shadowed.values()) + self.faults.total()
        others: tuple[Sized, ...] = (self.used, self.rehashed, self.proxies, self.headers)
        return counted + sum(map(len, others))

    def __str__(self) -> str:
        return (
            f"{self.faults.total()} faults of the counter, "
            f"{sum(self.refused.values())} refusals and {len(self.used)} uses of keys, "
            f"{sum(self.shadowed.values())} requests over shadow limits, "
            f"{len(self.rehashed)} digests, {len(self.proxies)} proxies "
            f"and {len(self.headers)} headers"
        )


class Buffer:
    """What happened in this process since the last flush."""

    def __init__(self) -> None:
        self._thread = PeriodicThread("apiguard-telemetry", self._run, self._idle_timeout)
        self._reset()

    def _reset(self) -> None:
        self._thread.forget()
        self._lock = threading.Lock()
        self._pending = PendingWrites()
        self._last_use = LastUse()
        self._expiring_keys = ExpiringKeys(background_signals)
        self.refusals = RefusalBuffer()
        self._is_ending = False
        self._outages: deque[tuple[bool, datetime]] = deque(maxlen=MAX_OUTAGES)
        self._away = False
        self._reported_away: datetime | None = None
        self._forgot: datetime | None = None
        self.dropped = 0

    # -- called by requests -------------------------------------------------------

    def refused(self, route_pk: int, outcome: str, enforced: bool) -> None:
        """Count one refusal, or what would have been one."""
        with self._lock:
            self.dropped += not self._pending.add_refused((route_pk, str(outcome), enforced))
        self._start()

    def keep_refusal(
        self,
        kind: RefusalKind,
        caller: str,
        *,
        is_identified: bool,
        build: Callable[[], RefusedRequest],
    ) -> None:
        """Keep one refused request as a row, if it is sampled; ``build`` is called if so."""
        if self.refusals.add(kind, caller, is_identified=is_identified, build=build):
            self._start()

    def shadow(self, limit_pk: int, principal: str) -> None:
        """Count one request that a shadow limit would have refused."""
        principal = principal[: ShadowCount.MAX_PRINCIPAL]
        with self._lock:
            self.dropped += not self._pending.add_shadowed(limit_pk, principal)
        self._start()

    def used(self, key_pk: int, network: Callable[[], str] = str) -> None:
        """Note the use of a key; within a minute of the last note of it, do nothing."""
        if key_pk in self._pending.used or self._last_use.is_noted(key_pk):
            return
        with self._lock:
            self.dropped += not self._pending.add_used(key_pk, network())
        self._start()

    def rehashed(self, key_pk: int, old: str, new: str, pepper_id: str) -> None:
        """Have a key's digest replaced by the one that a newer pepper made."""
        with self._lock:
            self.dropped += not self._pending.add_rehashed(key_pk, old, new, pepper_id)
        self._start()

    def outage(self, away: bool, at: datetime) -> None:
        """Note that the counter's store went away from this process, or came back."""
        with self._lock:
            self._outages.append((away, at))
            self._away = away
        self._start()

    def fault(self, kind: str, name: str) -> None:
        """Count one request that a fault kept from being counted in the store."""
        with self._lock:
            self.dropped += not self._pending.add_fault(kind, name[: CounterFault.MAX_NAME])
        self._start()

    def header(
        self, route_pk: int, name: str, change: str, value: str, example: str, revision: int
    ) -> None:
        """Note a header that enforcing a route would change."""
        longest = ObservedHeader.MAX_TEXT
        entry = (route_pk, name[: ObservedHeader.MAX_NAME], change)
        with self._lock:
            if entry in self._pending.headers or len(self._pending.headers) < MAX_HEADERS:
                self._pending.headers[entry] = (value[:longest], example[:longest], revision)
            else:
                self.dropped += 1
        self._start()

    def proxy(self, address: str) -> None:
        """Note a proxy that is not trusted; the caller bounds how many there are."""
        with self._lock:
            self._pending.proxies.add(address)
        self._start()

    # -- away from requests -------------------------------------------------------

    def flush(self, *, everything: bool = True) -> None:
        """Write all pending entries now, in this thread.

        Args:
            everything: false leaves refused requests of the second that lasts for later.
        """
        with self._lock:
            pending, self._pending = self._pending, PendingWrites()
        at = timezone.now()
        try:
            alias = write_alias()
            self._write_outages(alias, at)
            self._write(pending, alias, at)
            self._forget(alias, at)
            self._expiring_keys.announce()
        except Exception as error:  # noqa: BLE001 - whatever it is, no request pays for it
            self.dropped += pending.size
            logger.warning("Numbers of %s are lost: %s", pending, error)
        self.refusals.flush(everything=everything)

    def finish(self, seconds: float) -> None:
        """Have the thread write all entries before this process ends; waits ``seconds`` at most."""
        self._is_ending = True
        # Also with no entry pending: the thread may be writing the last ones just now.
        self._thread.run_and_wait(seconds)

    def _write(self, pending: PendingWrites, alias: str, at: datetime) -> None:
        # A request may have noted a key again while the flush before was writing it.
        pending.used = {
            pk: network for pk, network in pending.used.items() if not self._last_use.is_noted(pk)
        }
        used = frozenset(pending.used)
        try:
            pending.write(alias, at)
        finally:
            # Tests start over with other rows under the same numbers.
            if conf.current().policy_max_age is not None:
                self._last_use.note(used - pending.used.keys())

    def _write_outages(self, alias: str, now: datetime) -> None:
        rows = CounterOutage.objects.using(alias)
        while self._outages:
            away, at = self._outages[0]
            rows.note(process_name(), away, at)
            self._outages.popleft()
            self._reported_away = at
        if self._away and (
            self._reported_away is None or now - self._reported_away >= REPEATED_AFTER
        ):
            rows.still(process_name(), now)
            self._reported_away = now

    def _forget(self, alias: str, now: datetime) -> None:
        """Delete rows that are older than their table keeps, once an hour."""
        if self._forgot == hour_of(now):
            return
        for model in PRUNED_TABLES:
            model.objects.using(alias).forget(now)
        self._forgot = hour_of(now)

    def _start(self) -> None:
        self._thread.wake()

    def _idle_timeout(self) -> float | None:
        # While the store is away the process reports it, also when no request comes.
        return REPEATED_AFTER.total_seconds() if self._away else None

    def _run(self) -> None:
        self.flush(everything=self._is_ending)
        if not self.refusals.is_empty:
            self._thread.wake()


buffer = Buffer()
os.register_at_fork(after_in_child=buffer._reset)
