"""Posts events to the receivers of the setting ``WEBHOOKS``, away from requests.

Each receiver has a bounded queue and a thread of its own, which starts with the first
event, so that one that does not answer delays no other. An event is tried three times;
one that was never accepted, or found no room, is counted in the database and logged.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import connections
from django.dispatch import Signal
from django.utils import timezone

from .. import conf
from ..models import WebhookStatus
from ..models.state import write_alias
from .periodic import PeriodicThread
from .webhook_events import SIGNALS, build_event
from .webhook_post import DeliveryFailed, post_event

logger = logging.getLogger("apiguard.telemetry")

# Events of one receiver that wait.
MAX_QUEUED = 1_000
# Seconds between two attempts; there is one attempt more.
PAUSES = (1.0, 5.0)
# Seconds between two writes of the counts, while events keep coming.
WRITE_EVERY_SECONDS = 10.0


class _Message(NamedTuple):
    message_id: str
    body: str


@dataclass(slots=True)
class _Counts:
    """What happened since the counts were written last."""

    delivered: int = 0
    failed: int = 0
    delivered_at: datetime | None = None
    failed_at: datetime | None = None
    error: str = ""


class WebhookQueue:
    """The events of one receiver that wait, and the thread that posts them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = PeriodicThread(f"apiguard-webhook-{name}", self._run)
        self._queue: deque[_Message] = deque()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._counts, self._dropped = _Counts(), 0

    def add(self, body: str) -> None:
        """Have an event posted soon, or count that there is no room for it."""
        with self._lock:
            if len(self._queue) < MAX_QUEUED:
                self._queue.append(_Message(f"msg_{uuid.uuid4().hex}", body))
            else:
                self._dropped += 1
        self._thread.wake()

    def end(self) -> None:
        """Try each event once from now on, at once; waits for nothing."""
        self._ending.set()
        self._thread.run_now()

    def finish(self, seconds: float) -> None:
        """Have everything that waits posted before this process ends; waits so long at most."""
        self._thread.run_and_wait(seconds)

    # -- in the thread ------------------------------------------------------------

    def flush(self) -> None:
        """Post everything that waits, now, in this thread."""
        self._flush_some()
        while self._queue:
            self._flush_some()

    def _flush_some(self) -> None:
        """Post what waits, for a while, and write how it went."""
        write_at = time.monotonic() + WRITE_EVERY_SECONDS
        while self._queue and time.monotonic() < write_at:
            self._deliver(self._queue.popleft())
        self._write()

    def _deliver(self, message: _Message) -> None:
        error = self._post(message)
        if error is None:
            self._counts.delivered += 1
            self._counts.delivered_at = timezone.now()
            return
        self._counts.failed += 1
        self._counts.failed_at, self._counts.error = timezone.now(), error
        logger.warning("An event could not be posted to webhook %r: %s.", self._name, error)

    def _post(self, message: _Message) -> str | None:
        """Post an event, several times if need be; return why it failed, else None."""
        for pause in (*PAUSES, None):
            target = conf.current().webhooks.get(self._name)
            if target is None:
                return "the webhook is not in the settings any more"
            try:
                post_event(target, *message)
                return None
            except DeliveryFailed as failed:
                error = str(failed)
            except Exception as defect:
                logger.exception("An event for webhook %r cannot be posted.", self._name)
                return type(defect).__name__
            if pause is None or self._ending.wait(pause):
                break
        return error

    def _write(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, _Counts()
            dropped, self._dropped = self._dropped, 0
        if not counts.delivered and not counts.failed and not dropped:
            return
        if dropped:
            logger.warning("%d events for webhook %r found no room.", dropped, self._name)
        try:
            WebhookStatus.objects.using(write_alias()).add(
                self._name,
                delivered=counts.delivered,
                failed=counts.failed,
                dropped=dropped,
                delivered_at=counts.delivered_at,
                failed_at=counts.failed_at,
                error=counts.error,
            )
        except Exception as error:  # noqa: BLE001 - the log has it
            logger.warning("The status of webhook %r cannot be written: %s", self._name, error)

    def _run(self) -> None:
        while True:
            self._flush_some()
            # No connection stays open while a slow receiver is waited for.
            connections.close_all()
            if not self._queue:
                return


class Webhooks:
    """All receivers of this process."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start with nothing, as after a fork."""
        self._lock = threading.Lock()
        self._queues: dict[str, WebhookQueue] = {}

    def receive(self, signal: Signal, **arguments: Any) -> None:
        """Queue the event of a signal for every receiver."""
        settings = conf.current()
        if settings.testing or not settings.webhooks:
            return
        body = build_event(signal, arguments)
        for name in settings.webhooks:
            self.queue(name).add(body)

    def queue(self, name: str) -> WebhookQueue:
        """Return the queue of one receiver."""
        with self._lock:
            if name not in self._queues:
                self._queues[name] = WebhookQueue(name)
            return self._queues[name]

    def finish(self, seconds: float) -> None:
        """Have everything that waits posted before this process ends; waits so long at most."""
        deadline = time.monotonic() + seconds
        queues = list(self._queues.values())
        for queue in queues:
            queue.end()
        for queue in queues:
            queue.finish(max(0.0, deadline - time.monotonic()))


webhooks = Webhooks()
os.register_at_fork(after_in_child=webhooks.reset)


def connect() -> None:
    """Listen to the signals if there are receivers to post to; called whenever settings change."""
    try:
        is_wanted = bool(conf.current().webhooks)
    except ImproperlyConfigured:
        return  # A system check reports it, and every request fails.
    for signal in SIGNALS:
        if is_wanted:
            signal.connect(webhooks.receive, weak=False, dispatch_uid="apiguard.webhooks")
        else:
            signal.disconnect(dispatch_uid="apiguard.webhooks")


def _settings_changed(*, setting: str, **_: Mapping[str, object]) -> None:
    if setting == "APIGUARD":
        connect()


# Connected after conf, which has read the new settings by then.
setting_changed.connect(_settings_changed, dispatch_uid="apiguard.webhooks")
