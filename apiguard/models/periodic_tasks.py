"""Work that one process does for all, such as pruning: whose turn it is."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, models, transaction
from django.utils.translation import gettext_lazy as _


class PeriodicTaskQuerySet(models.QuerySet["PeriodicTask"]):
    """Tasks by name."""

    def claim(self, name: str, now: datetime, every: timedelta) -> bool:
        """Return whether the caller is to do this task now; nobody else is until ``every`` ends."""
        if self.filter(name=name, next_at__lte=now).update(next_at=now + every):
            return True
        if self.filter(name=name).exists():
            return False
        try:
            with transaction.atomic(using=self.db):
                self.create(name=name, next_at=now + every)
        except IntegrityError:  # Another worker made the row first.
            return False
        return True


class PeriodicTask(models.Model):
    """A task, and when it is due. A process that dies during it only delays it."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    next_at = models.DateTimeField(_("due"))

    objects = PeriodicTaskQuerySet.as_manager()

    class Meta:
        verbose_name = _("periodic task")
        verbose_name_plural = _("periodic tasks")
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
