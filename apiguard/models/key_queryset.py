"""Many keys at once: which are usable, and writes that bring none of them back.

``touch`` and ``rehash`` are the only writes that requests cause. They and
``mark_announced`` are no changes of policy and publish nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, models, transaction
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .base import PolicyQuerySet
from .state import PolicyState

# last_used_at is for people; once a minute is exact enough and rarely written.
USED_RESOLUTION = timedelta(minutes=1)


def irreversible() -> ValidationError:
    """Return the error of an attempt to bring a revoked key back."""
    return ValidationError({"revoked_at": _("A key is revoked for good. Issue a new one.")})


def may_be_null(value: object) -> bool:
    """Whether this, written to a column, may leave NULL there."""
    # What an expression comes to, only the database knows.
    return value is None or hasattr(value, "resolve_expression")


class ApiKeyQuerySet(PolicyQuerySet[Any]):
    """Keys by what they can still do, and the writes that requests cause."""

    def usable(self, at: datetime | None = None) -> ApiKeyQuerySet:
        """Return keys that are neither revoked nor expired nor not yet valid."""
        at = at or timezone.now()
        return self.filter(
            Q(not_before=None) | Q(not_before__lte=at),
            Q(expires_at=None) | Q(expires_at__gt=at),
            revoked_at=None,
        )

    def update(self, **kwargs: Any) -> int:
        value = kwargs.get("revoked_at", ...)
        if value is None:
            raise irreversible()
        if not may_be_null(value):
            return super().update(**kwargs)
        with transaction.atomic(using=self.db):
            # The lock that every change takes first: none is revoked after it was read.
            PolicyState.objects.using(self.db).select_for_update().filter(pk=1).first()
            if self.filter(revoked_at__isnull=False).exists():
                raise irreversible()
            return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(
        self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        rows, fields = tuple(objs), tuple(fields)
        if "revoked_at" in fields and any(may_be_null(row.revoked_at) for row in rows):
            raise irreversible()
        return super().bulk_update(rows, fields, batch_size)

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: Iterable[Any],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[Any]:
        rows, fields = list(objs), update_fields and list(update_fields)
        if "revoked_at" in (fields or ()) and any(may_be_null(row.revoked_at) for row in rows):
            raise irreversible()
        return super().bulk_create(
            rows, batch_size, ignore_conflicts, update_conflicts, fields, unique_fields
        )

    def touch(
        self, pks: Iterable[int], at: datetime, networks: Mapping[int, str] | None = None
    ) -> int:
        """Note that keys were used; how many of them were not noted within a minute.

        Not a change of policy: publishes nothing. Waits for nobody where the
        database can pass over rows that others write, so that two workers, or
        a worker and who revokes these keys, never wait for each other.

        Args:
            networks: key -> the network that it was used from; "" leaves the stored one.
        """
        stale = Q(last_used_at=None) | Q(last_used_at__lt=at - USED_RESOLUTION)
        pks = list(pks)
        due = self.filter(stale, pk__in=pks)
        written = {"last_used_at": at, **_networks_of(pks, networks or {})}
        if not connections[self.db].features.has_select_for_update_skip_locked:
            return models.QuerySet.update(due, **written)
        with transaction.atomic(using=self.db):
            free = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True))
            mine = self.filter(pk__in=free)
            return models.QuerySet.update(mine, **written) if free else 0

    def ending_unannounced(self, now: datetime, within: timedelta) -> ApiKeyQuerySet:
        """Return keys that end soon, and whose end was not announced yet; the first to end first.

        Without those that have a successor, and those that were made for a shorter time.
        """
        return self.filter(
            ~Q(announced_end_at=F("expires_at")) | Q(announced_end_at=None),
            expires_at__gt=now,
            expires_at__lte=now + within,
            created_at__lt=F("expires_at") - within,
            revoked_at=None,
            rotated_at=None,
        ).order_by("expires_at", "pk")

    def mark_announced(self, key: Any) -> bool:
        """Note that a key's end is announced; False if somebody else did. Publishes nothing."""
        same_end = self.filter(pk=key.pk, expires_at=key.expires_at)
        unmarked = same_end.filter(~Q(announced_end_at=key.expires_at) | Q(announced_end_at=None))
        return bool(models.QuerySet.update(unmarked, announced_end_at=key.expires_at))

    def rehash(self, pk: int, *, old_digest: str, digest: str, pepper_id: str) -> int:
        """Store the digest made with the first pepper. Publishes nothing."""
        unchanged = self.filter(pk=pk, digest=old_digest)
        return models.QuerySet.update(unchanged, digest=digest, pepper_id=pepper_id)


def _networks_of(pks: Iterable[int], networks: Mapping[int, str]) -> dict[str, Any]:
    """Return the column of the last network of these keys; nothing where none is known."""
    by_network: dict[str, list[int]] = {}
    for pk in pks:
        if network := networks.get(pk):
            by_network.setdefault(network, []).append(pk)
    if not by_network:
        return {}
    known = [When(pk__in=found, then=Value(network)) for network, found in by_network.items()]
    return {"last_used_from": Case(*known, default=F("last_used_from"))}
