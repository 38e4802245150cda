"""What was gathered since the last flush, and how it is written.

Distinct entries are bounded, so that no caller can fill a process's memory;
entries that are there already go on counting.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from ..models import ApiKey, HourlyCount, ShadowCount, UntrustedProxy

# Distinct entries of a kind that wait for a flush; more are dropped and counted.
MAX_WAITING = 10_000
# Distinct (limit, principal) pairs; more principals are counted together.
MAX_SHADOWED = 1_000
# Keys of one statement; databases bound how many values it may hold.
TOUCHED_AT_ONCE = 1_000


class Waiting:
    """Entries between two flushes; not thread-safe by itself."""

    def __init__(self) -> None:
        self.refused: Counter[tuple[int, str, bool]] = Counter()
        self.shadowed: Counter[tuple[int, str]] = Counter()
        self.used: set[int] = set()
        # Key -> its digest until now, the new one, and the pepper that made it.
        self.rehashed: dict[int, tuple[str, str, str]] = {}
        self.proxies: set[str] = set()

    def add_refused(self, entry: tuple[int, str, bool]) -> bool:
        """Count a refusal; False where there is no room."""
        if entry not in self.refused and len(self.refused) >= MAX_WAITING:
            return False
        self.refused[entry] += 1
        return True

    def add_shadowed(self, limit_pk: int, principal: str) -> bool:
        """Count what a shadow limit would have refused; without room, of nobody in particular."""
        entry = (limit_pk, principal)
        if entry not in self.shadowed and len(self.shadowed) >= MAX_SHADOWED:
            entry = (limit_pk, "")
            if entry not in self.shadowed and len(self.shadowed) >= MAX_WAITING:
                return False
        self.shadowed[entry] += 1
        return True

    def add_used(self, key_pk: int) -> bool:
        """Note the use of a key; False where there is no room."""
        if len(self.used) >= MAX_WAITING:
            return False
        self.used.add(key_pk)
        return True

    def add_rehashed(self, key_pk: int, old: str, new: str, pepper_id: str) -> bool:
        """Note the digest that a newer pepper made; False where there is no room."""
        if len(self.rehashed) >= MAX_WAITING:
            return False
        self.rehashed[key_pk] = (old, new, pepper_id)
        return True

    def write(self, alias: str, at: datetime) -> None:
        """Write everything to the database ``alias``; what is written no longer waits."""
        used = sorted(self.used)
        for start in range(0, len(used), TOUCHED_AT_ONCE):
            batch = used[start : start + TOUCHED_AT_ONCE]
            ApiKey.objects.using(alias).touch(batch, at)
            self.used.difference_update(batch)
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
        for address in list(self.proxies):
            UntrustedProxy.objects.using(alias).seen(address, at)
            self.proxies.discard(address)

    @property
    def size(self) -> int:
        """How many events wait."""
        counted = sum(self.refused.values()) + sum(self.shadowed.values())
        return counted + len(self.used) + len(self.rehashed) + len(self.proxies)

    def __str__(self) -> str:
        return (
            f"{sum(self.refused.values())} refusals and {len(self.used)} uses of keys, "
            f"{sum(self.shadowed.values())} requests over shadow limits, "
            f"{len(self.rehashed)} digests and {len(self.proxies)} proxies"
        )
