"""What happened around the counter: an outage, a fault, a proxy that is not known as one.

Not policy: written by telemetry, away from requests, and publishes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from .hourly_counts import update_or_insert

# How often a process reports that its store is away; without a report for longer, it is gone.
REPEATED_AFTER = timedelta(minutes=1)
SILENCE = timedelta(minutes=3)

KEPT = timedelta(days=30)


class CounterOutageQuerySet(models.QuerySet["CounterOutage"]):
    """Outages, as each process saw them."""

    def note(self, process: str, away: bool, at: datetime) -> None:
        """The store went away from ``process``, or came back, at ``at``."""
        unended = self.filter(process=process, ended_at=None)
        if not away:
            unended.update(ended_at=at, seen_at=at)
            return
        # A process of the same name, in a container that is gone, could not say more.
        unended.update(ended_at=models.F("seen_at"))
        self.create(process=process, began_at=at, seen_at=at)

    def still(self, process: str, at: datetime) -> None:
        """It is away from ``process`` at ``at`` as before."""
        self.filter(process=process, ended_at=None).update(seen_at=at)

    def open(self, now: datetime) -> Self:
        """Return those that last: not ended, by processes that reported it a moment ago."""
        return self.filter(ended_at=None, seen_at__gte=now - SILENCE)

    def ended_since(self, at: datetime, now: datetime) -> Self:
        """Return those that ended after ``at``, or whose process fell silent after it."""
        ended = self.filter(models.Q(ended_at__isnull=False) | models.Q(seen_at__lt=now - SILENCE))
        return ended.filter(seen_at__gte=at)

    def forget(self, now: datetime) -> None:
        """Delete what is older than ``KEPT``."""
        self.filter(seen_at__lt=now - KEPT).delete()


class CounterOutage(models.Model):
    """A stretch of time in which the counter's store did not answer one process.

    ``process`` is "host:pid". ``seen_at`` is when that process last reported it:
    a process that was stopped meanwhile never reports the end.
    """

    MAX_PROCESS: ClassVar[int] = 300

    process = models.CharField(_("process"), max_length=MAX_PROCESS)
    began_at = models.DateTimeField(_("began"))
    seen_at = models.DateTimeField(_("last seen"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    objects = CounterOutageQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = _("outage of the counter")
        verbose_name_plural = _("outages of the counter")
        ordering: ClassVar[list[str]] = ["-began_at", "-id"]
        indexes = (
            models.Index(fields=["process", "ended_at"], name="apiguard_outage_process"),
            models.Index(fields=["seen_at"], name="apiguard_outage_seen"),
        )

    def __str__(self) -> str:
        return f"{self.process}, {self.began_at:%Y-%m-%d %H:%M}"


class CounterFaultQuerySet(models.QuerySet["CounterFault"]):
    """Faults by name, over all processes."""

    def add(self, kind: str, name: str, count: int, at: datetime) -> None:
        """Count ``count`` more requests that this fault kept from being counted."""
        change = {"count": models.F("count") + count, "last_seen": at}
        key = {"kind": kind, "name": name}
        update_or_insert(self, key, change, count=count, first_seen=at, last_seen=at)

    def since(self, at: datetime) -> Self:
        """Return faults that were seen after ``at``."""
        return self.filter(last_seen__gte=at)

    def forget(self, now: datetime) -> None:
        """Delete what is older than ``KEPT``."""
        self.filter(last_seen__lt=now - KEPT).delete()


class CounterFault(models.Model):
    """Why limits were not counted in the store although it was not away.

    ``count`` is the number of requests that were decided without the store.
    """

    class Kind(models.TextChoices):
        DEFECT = "defect", _("defect")
        POOL = "pool", _("connection pool exhausted")

    MAX_NAME: ClassVar[int] = 200

    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    name = models.CharField(_("name"), max_length=MAX_NAME)
    count = models.PositiveBigIntegerField(_("requests"))
    first_seen = models.DateTimeField(_("first seen"))
    last_seen = models.DateTimeField(_("last seen"))

    objects = CounterFaultQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = _("fault of the counter")
        verbose_name_plural = _("faults of the counter")
        ordering: ClassVar[list[str]] = ["kind", "name"]
        constraints = (
            models.UniqueConstraint(fields=["kind", "name"], name="apiguard_fault_name"),
        )

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


class UntrustedProxyQuerySet(models.QuerySet["UntrustedProxy"]):
    """Peers that forward requests without being trusted to."""

    def seen(self, address: str, at: datetime) -> None:
        """``address`` sent a forwarding header at ``at``."""
        update_or_insert(self, {"address": address}, {"last_seen": at}, first_seen=at, last_seen=at)

    def since(self, at: datetime) -> Self:
        """Return those that were seen after ``at``."""
        return self.filter(last_seen__gte=at)

    def forget(self, now: datetime) -> None:
        """Delete what is older than ``KEPT``."""
        self.filter(last_seen__lt=now - KEPT).delete()


class UntrustedProxy(models.Model):
    """A private address that sent forwarding headers and is not in ``TRUSTED_PROXIES``."""

    address = models.CharField(_("address"), max_length=64, unique=True)
    first_seen = models.DateTimeField(_("first seen"))
    last_seen = models.DateTimeField(_("last seen"))

    objects = UntrustedProxyQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = _("untrusted proxy")
        verbose_name_plural = _("untrusted proxies")
        ordering: ClassVar[list[str]] = ["address"]

    def __str__(self) -> str:
        return self.address
