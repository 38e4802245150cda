"""How many requests were refused, or would have been, and why: numbers per hour.

Not policy: written by telemetry, away from requests, and publishes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext_lazy as _

# Shadow counts name callers, so they are not kept for longer than they are looked at.
SHADOW_KEPT = timedelta(days=7)

# The admin shows a day of them; a month is kept for people who query the table.
COUNTS_KEPT = timedelta(days=30)

M = TypeVar("M", bound=models.Model)


def hour_of(at: datetime) -> datetime:
    """Return the beginning of the hour that ``at`` is in."""
    return at.replace(minute=0, second=0, microsecond=0)


def update_or_insert(
    rows: models.QuerySet[Any], key: Mapping[str, Any], change: Mapping[str, Any], **first: Any
) -> None:
    """Update the row that ``key`` names; where there is none, insert it with ``first``.

    One statement where the row is there, and several workers may do it at once.
    ``QuerySet.update_or_create`` would read and lock each row before it is updated.
    """
    row = rows.filter(**key)
    if row.update(**change):
        return
    try:
        with transaction.atomic(using=rows.db):
            rows.create(**key, **first)
    except IntegrityError:  # Another worker inserted the row first.
        row.update(**change)


class GrowingQuerySet(models.QuerySet[M]):
    """Counts that grow, whichever worker adds to them."""

    def _grow(self, numbers: Mapping[str, int], **entry: Any) -> None:
        change = {name: models.F(name) + number for name, number in numbers.items()}
        update_or_insert(self, entry, change, **numbers)


class HourlyCountQuerySet(GrowingQuerySet["HourlyCount"]):
    """Refusals by route and reason."""

    def add(
        self,
        at: datetime,
        route_pk: int,
        outcome: str,
        enforced: bool,
        count: int,
        *,
        unkept: int = 0,
    ) -> None:
        """Add ``count`` refusals of one kind to the hour of ``at``.

        Args:
            unkept: refusals, counted before or now, that have no row of their own.
        """
        entry = {"route_pk": route_pk, "outcome": outcome, "enforced": enforced}
        numbers = {"count": count, "unkept": unkept}
        self._grow(numbers, hour=hour_of(at), **entry)

    def unkept_since(self, at: datetime) -> int:
        """Return how many refusals have no row of their own, from the hour of ``at`` on."""
        total = self.filter(hour__gte=hour_of(at)).aggregate(total=models.Sum("unkept"))
        return int(total["total"] or 0)

    def forget(self, now: datetime) -> None:
        """Delete what is older than ``COUNTS_KEPT``."""
        self.filter(hour__lt=hour_of(now - COUNTS_KEPT)).delete()


class HourlyCount(models.Model):
    """Refusals of one route, for one reason, in one hour (UTC)."""

    hour = models.DateTimeField(_("hour"))
    # No foreign key: numbers outlive routes, and are written without a look at them. 0: no route.
    route_pk = models.BigIntegerField(_("route"))
    outcome = models.CharField(_("outcome"), max_length=64)
    enforced = models.BooleanField(_("enforced"))
    count = models.PositiveBigIntegerField(_("count"), default=0)
    # Of them, those that are not among the rows of ``Refusal``. Older code leaves it out.
    unkept = models.PositiveBigIntegerField(_("not kept"), default=0, db_default=0)

    objects = HourlyCountQuerySet.as_manager()

    class Meta:
        default_permissions = ()
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


class ShadowCountQuerySet(GrowingQuerySet["ShadowCount"]):
    """What shadow limits would have refused, by limit and principal."""

    def add(self, at: datetime, limit_pk: int, principal: str, count: int) -> None:
        """Add ``count`` requests of ``principal`` to the hour of ``at``; "" is all others."""
        self._grow({"count": count}, hour=hour_of(at), limit_pk=limit_pk, principal=principal)

    def since(self, at: datetime) -> Self:
        """Return the counts of the hour of ``at`` and all later ones."""
        return self.filter(hour__gte=hour_of(at))

    def forget(self, now: datetime) -> None:
        """Delete what is older than ``SHADOW_KEPT``."""
        self.filter(hour__lt=hour_of(now - SHADOW_KEPT)).delete()


class ShadowCount(models.Model):
    """Requests of one principal in one hour (UTC) that one shadow limit would have refused."""

    MAX_PRINCIPAL: ClassVar[int] = 300

    hour = models.DateTimeField(_("hour"))
    # No foreign key: as for HourlyCount.
    limit_pk = models.BigIntegerField(_("limit"))
    principal = models.CharField(_("counted as"), max_length=MAX_PRINCIPAL, blank=True)
    count = models.PositiveBigIntegerField(_("count"), default=0)

    objects = ShadowCountQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = _("shadow count")
        verbose_name_plural = _("shadow counts")
        ordering: ClassVar[list[str]] = ["-hour"]
        constraints = (
            models.UniqueConstraint(
                fields=["hour", "limit_pk", "principal"], name="apiguard_shadow_count_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.principal}: {self.count}"
