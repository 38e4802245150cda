"""``HourlyCount``: how many requests were refused, or would have been, and why.

Not policy: written by telemetry, away from requests, and publishes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext_lazy as _


class HourlyCountQuerySet(models.QuerySet["HourlyCount"]):
    """Counts that grow."""

    def add(self, at: datetime, route_pk: int, outcome: str, enforced: bool, count: int) -> None:
        """Add ``count`` refusals of one kind to the hour of ``at``."""
        hour = at.replace(minute=0, second=0, microsecond=0)
        row = self.filter(hour=hour, route_pk=route_pk, outcome=outcome, enforced=enforced)
        if row.update(count=models.F("count") + count):
            return
        try:
            with transaction.atomic(using=self.db):
                self.create(
                    hour=hour, route_pk=route_pk, outcome=outcome, enforced=enforced, count=count
                )
        except IntegrityError:  # Another worker made the row first.
            row.update(count=models.F("count") + count)


class HourlyCount(models.Model):
    """Refusals of one route, for one reason, in one hour (UTC)."""

    hour = models.DateTimeField(_("hour"))
    # No foreign key: numbers outlive routes, and are written without a look at them.
    route_pk = models.BigIntegerField(_("route"))
    outcome = models.CharField(_("outcome"), max_length=64)
    enforced = models.BooleanField(_("enforced"))
    count = models.PositiveBigIntegerField(_("count"), default=0)

    objects = HourlyCountQuerySet.as_manager()

    class Meta:
        verbose_name = _("hourly count")
        verbose_name_plural = _("hourly counts")
        ordering: ClassVar[list[str]] = ["-hour"]
        constraints = (
            models.UniqueConstraint(
                fields=["hour", "route_pk", "outcome", "enforced"], name="apiguard_count_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.outcome}: {self.count}"
