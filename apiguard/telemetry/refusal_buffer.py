"""Refused requests on their way into rows: sampled, written and pruned in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from django.db import router
from django.utils import timezone

from .. import conf
from ..models import HourlyCount, PeriodicTask, Refusal
from ..models.state import write_alias
from .refusal_sample import RefusalSample

logger = logging.getLogger("apiguard.telemetry")

PRUNE_EVERY = timedelta(seconds=10)
# Rows of one statement, statements of one run, and the pause in which others can write.
PRUNED_AT_ONCE = 500
MOST_BATCHES = 30
PAUSE_SECONDS = 0.02


class RefusalKind(NamedTuple):
    """What refusals are counted by. ``route_pk`` is 0 where no route decided."""

    route_pk: int
    outcome: str
    enforced: bool


class RefusedRequest(NamedTuple):
    """One refused request; the fields are those of ``Refusal``, and hold no secret."""

    at: datetime
    request_id: str
    method: str
    path: str
    status: int
    enforced: bool
    outcome: str
    reason: str
    principal: str
    is_identified: bool
    revision: int
    address: str = ""
    origin: str = ""
    content_type: str = ""
    accept: str = ""
    route_pk: Any = None
    route_name: str = ""
    row_model: str = ""
    row_pk: str = ""
    row_name: str = ""
    client_pk: Any = None
    client_slug: str = ""
    key_id: str = ""
    limits: tuple[dict[str, Any], ...] = ()

    @property
    def kind(self) -> RefusalKind:
        """What this request is counted by."""
        return RefusalKind(self.route_pk or 0, self.outcome, self.enforced)


class RefusalBuffer:
    """Thread-safe; ``add`` waits for nothing but other calls of ``add``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sample: RefusalSample[RefusedRequest, RefusalKind] = RefusalSample()
        self._prune_at = 0.0
        self.dropped = 0

    def add(
        self,
        kind: RefusalKind,
        caller: str,
        *,
        is_identified: bool,
        build: Callable[[], RefusedRequest],
    ) -> bool:
        """Keep a refused request, or count it; ``build`` is called only if it is kept for now."""
        with self._lock:
            return self._sample.add(
                time.monotonic(), kind, caller, is_identified=is_identified, build=build
            )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self._sample.is_empty

    def flush(self, *, everything: bool = True) -> None:
        """Write what was kept and how many were not; then prune, if it is this process's turn.

        Args:
            everything: false leaves out the second that lasts, for which the sample is not
                complete yet.
        """
        with self._lock:
            kept, unkept = self._sample.take(time.monotonic(), everything=everything)
        if not kept and not unkept:
            return
        what = f"{len(kept)} rows of refused requests are lost"
        if not _attempt(partial(_insert, kept), what):
            self.dropped += len(kept)
            unkept.update(each.kind for each in kept)
        _attempt(partial(_count, unkept), "Counts of refused requests are lost")
        _attempt(self._prune, "Refused requests cannot be pruned now")

    def _prune(self) -> None:
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + PRUNE_EVERY.total_seconds()
        now, settings = timezone.now(), conf.current()
        alias = router.db_for_write(Refusal)
        if not PeriodicTask.objects.using(alias).claim("prune refusals", now, PRUNE_EVERY):
            return
        rows = Refusal.objects.using(alias)
        for _ in range(MOST_BATCHES):
            if not rows.prune(
                now,
                keep=timedelta(days=settings.refusals_keep_days),
                most=settings.refusals_keep_rows,
                batch=PRUNED_AT_ONCE,
            ):
                return
            time.sleep(PAUSE_SECONDS)


def _attempt(work: Callable[[], None], failure: str) -> bool:
    """Do some work; log why it failed, whatever it is, because no request pays for it."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - see above
        logger.warning("%s: %s", failure, error)
        return False
    return True


# Each statement is a transaction of its own. Python between two statements of a transaction
# would hold up all other writers on SQLite: in a flood this thread waits for its turn after each.


def _insert(kept: list[RefusedRequest]) -> None:
    alias = router.db_for_write(Refusal)
    Refusal.objects.using(alias).insert([Refusal(**each._asdict()) for each in kept])


def _count(unkept: Counter[RefusalKind]) -> None:
    counts, now = HourlyCount.objects.using(write_alias()), timezone.now()
    for kind, count in sorted(unkept.items()):
        counts.add(now, *kind, 0, unkept=count)
