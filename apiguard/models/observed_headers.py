"""Which response headers enforcing a route would change, seen while the route only observes.

Not policy: written by telemetry, away from requests, and publishes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from .hourly_counts import update_or_insert

KEPT = timedelta(days=30)


class ObservedHeaderQuerySet(models.QuerySet["ObservedHeader"]):
    """Headers by route, over all processes."""

    def seen(self, route_pk: int, name: str, change: str, at: datetime, **example: Any) -> None:
        """Keep the newest example of a header that enforcing would change."""
        key = {"route_pk": route_pk, "name": name, "change": change}
        values = {"last_seen": at, **example}
        update_or_insert(self, key, values, **values)

    def of_route(self, route_pk: Any, revision: int) -> Self:
        """Return those of a route as it has been since ``revision`` wrote it."""
        return self.filter(route_pk=route_pk, revision__gte=revision)

    def forget(self, now: datetime) -> None:
        """Delete what is older than ``KEPT``."""
        self.filter(last_seen__lt=now - KEPT).delete()


class ObservedHeader(models.Model):
    """A header that responses of an observing route would have differently if it enforced.

    ``value`` is what would be sent; what the view sends is not kept. ``example`` is method
    and path of one request, without its query. ``revision`` is the policy's at that time.
    """

    class Change(models.TextChoices):
        ADDED = "added", _("added")
        CHANGED = "changed", _("changed")
        REMOVED = "removed", _("removed")

    MAX_NAME: ClassVar[int] = 200
    MAX_TEXT: ClassVar[int] = 500

    # No foreign key: as for HourlyCount.
    route_pk = models.BigIntegerField(_("route"))
    name = models.CharField(_("header"), max_length=MAX_NAME)
    change = models.CharField(_("change"), max_length=10, choices=Change.choices)
    value = models.CharField(_("value"), max_length=MAX_TEXT, blank=True)
    example = models.CharField(_("example"), max_length=MAX_TEXT)
    revision = models.BigIntegerField(_("revision"))
    last_seen = models.DateTimeField(_("last seen"))

    objects = ObservedHeaderQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name = _("observed header")
        verbose_name_plural = _("observed headers")
        ordering: ClassVar[list[str]] = ["change", "name"]
        constraints = (
            models.UniqueConstraint(
                fields=["route_pk", "name", "change"], name="apiguard_observed_header_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.change}"
