"""How the deliveries of each webhook went, over all processes.

Not policy: written by telemetry, away from requests, and publishes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .hourly_counts import COUNTS_KEPT

EVENT_TIMES = ("delivered_at", "failed_at")


class WebhookStatusQuerySet(models.QuerySet["WebhookStatus"]):
    """Webhooks by name."""

    def add(
        self,
        name: str,
        *,
        delivered: int,
        failed: int,
        dropped: int,
        delivered_at: datetime | None,
        failed_at: datetime | None,
        error: str,
    ) -> None:
        """Add what one process has delivered and failed to deliver since it last wrote."""
        change: dict[str, object] = {
            "delivered": models.F("delivered") + delivered,
            "failed": models.F("failed") + failed,
            "dropped": models.F("dropped") + dropped,
        }
        if delivered_at is not None:
            change["delivered_at"] = delivered_at
        if failed_at is not None:
            change |= {"failed_at": failed_at, "error": error[: WebhookStatus.MAX_ERROR]}
        row = self.filter(name=name)
        if row.update(**change):
            return
        try:
            with transaction.atomic(using=self.db):
                self.create(name=name)
        except IntegrityError:
            pass  # Another worker made the row first.
        row.update(**change)

    def forget(self, now: datetime) -> None:
        """Delete webhooks without an event for ``COUNTS_KEPT``, such as those no longer set."""
        old = now - COUNTS_KEPT
        long_ago = {name: Q(**{name: None}) | Q(**{f"{name}__lt": old}) for name in EVENT_TIMES}
        self.filter(*long_ago.values()).delete()

    def by_name(self, names: Iterable[str]) -> dict[str, WebhookStatus]:
        """Return the rows of these webhooks; one without any event has none."""
        return {row.name: row for row in self.filter(name__in=list(names))}


class WebhookStatus(models.Model):
    """One webhook: events that were delivered, that failed, and for which there was no room."""

    MAX_ERROR: ClassVar[int] = 200

    name = models.CharField(_("name"), max_length=64, unique=True)
    delivered = models.PositiveBigIntegerField(_("delivered"), default=0)
    failed = models.PositiveBigIntegerField(_("failed"), default=0)
    dropped = models.PositiveBigIntegerField(_("dropped"), default=0)
    delivered_at = models.DateTimeField(_("last delivered"), null=True, blank=True)
    failed_at = models.DateTimeField(_("last failed"), null=True, blank=True)
    error = models.CharField(_("last error"), max_length=MAX_ERROR, blank=True, default="")

    objects = WebhookStatusQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = _("status of a webhook")
        verbose_name_plural = _("statuses of webhooks")

    def __str__(self) -> str:
        return self.name

    @property
    def is_failing(self) -> bool:
        """Whether the last event could not be delivered."""
        if self.failed_at is None:
            return False
        return self.delivered_at is None or self.delivered_at < self.failed_at
