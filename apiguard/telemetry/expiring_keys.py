"""Announces keys 14 days before they end: each once, by one process of all.

The key's row keeps the end that was announced, so that a key whose end is moved is
announced for the new end as well. The row is marked before the signal is sent: a
process that dies between the two announces nothing, and no key is announced twice.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from django.db import router
from django.utils import timezone

from ..models import ApiKey, PeriodicTask
from ..signals import key_expiring
from .background_signals import BackgroundSignals

logger = logging.getLogger("apiguard.telemetry")

BEFORE = timedelta(days=14)
# How often all processes together search for such keys.
EVERY = timedelta(minutes=10)
# Keys that are announced at a time; the others follow the next time.
MOST = 200


class ExpiringKeys:
    """Searches for keys that end soon, when it is this process's turn."""

    def __init__(self, signals: BackgroundSignals) -> None:
        self._signals = signals
        self._due_at = 0.0

    def announce(self) -> None:
        """Announce the keys that end within 14 days, if it is this process's turn."""
        if time.monotonic() < self._due_at or not key_expiring.has_listeners(ApiKey):
            return
        self._due_at = time.monotonic() + EVERY.total_seconds()
        try:
            self._announce()
        except Exception as error:  # noqa: BLE001 - the thread has other work
            logger.warning("Keys that end soon cannot be announced now: %s", error)

    def _announce(self) -> None:
        now, alias = timezone.now(), router.db_for_write(ApiKey)
        if not PeriodicTask.objects.using(alias).claim("announce expiring keys", now, EVERY):
            return
        keys = ApiKey.objects.using(alias)
        for key in keys.ending_unannounced(now, BEFORE).select_related("client")[:MOST]:
            if keys.mark_announced(key):
                self._signals.add(key_expiring, ApiKey, key=key)
