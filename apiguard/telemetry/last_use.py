"""The keys whose last use need not be written now.

Every process remembers, for a minute, the keys whose last use it has just had
written or found written by another. So a key costs a process one look-up a minute
and all processes together one write, however often it is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ..bounded_cache import BoundedCache
from ..models.key_queryset import USED_RESOLUTION

# Keys in use at the same time; of more than that some are written more often.
MAX_NOTED = 20_000


class LastUse:
    """Bounded and thread-safe; ``is_noted`` waits for nobody.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: BoundedCache[int, float] = BoundedCache(MAX_NOTED)

    def is_noted(self, key_pk: int) -> bool:
        """Whether the use of this key was noted less than a minute ago."""
        until = self._until.get(key_pk)
        return until is not None and self._clock() < until

    def note(self, key_pks: Iterable[int]) -> None:
        """The last use of these keys stands in the database, as of now."""
        until = self._clock() + USED_RESOLUTION.total_seconds()
        for key_pk in key_pks:
            self._until.put(key_pk, until)
