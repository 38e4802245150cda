"""``Refusal``: one refused request, so that the person on call finds it an hour later.

Not policy: written by telemetry, away from requests, and publishes nothing. A row
holds no query string, no secret, no token and no body.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import ClassVar

from django.db import connections, models
from django.utils.translation import gettext_lazy as _

ROWS_AT_ONCE = 100


def batched(rows: Sequence[Refusal], most: int) -> Iterator[list[Refusal]]:
    """Yield the rows in lists of at most ``most``."""
    rest = iter(rows)
    while batch := list(islice(rest, most)):
        yield batch


class RefusalQuerySet(models.QuerySet["Refusal"]):
    """Refused requests, the newest first."""

    def prune(self, now: datetime, *, keep: timedelta, most: int, batch: int) -> int:
        """Delete up to ``batch`` rows that are too old or too many; return how many.

        Of too many rows, the oldest of anonymous callers go first.
        """
        oldest = self.order_by("at", "pk")
        pks = list(oldest.filter(at__lt=now - keep).values_list("pk", flat=True)[:batch])
        if not pks:
            excess = min(batch, self.count() - most)
            if excess <= 0:
                return 0
            anonymous = oldest.filter(is_identified=False)
            pks = list(anonymous.values_list("pk", flat=True)[:excess])
            if not pks:
                pks = list(oldest.values_list("pk", flat=True)[:excess])
        return self._delete_rows(pks)

    def insert(self, refusals: Sequence[Refusal]) -> None:
        """Insert rows, each statement a transaction of its own; primary keys are not set.

        Not ``bulk_create``, which opens a transaction: see ``telemetry/refusal_buffer.py``.
        """
        connection = connections[self.db]
        fields = [field for field in Refusal._meta.concrete_fields if not field.primary_key]
        columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
        most = connection.features.max_query_params or ROWS_AT_ONCE * len(fields)
        table = connection.ops.quote_name(Refusal._meta.db_table)
        for batch in batched(refusals, min(ROWS_AT_ONCE, most // len(fields))):
            row = f"({', '.join(['%s'] * len(fields))})"
            rows = ", ".join([row] * len(batch))
            values = [
                field.get_db_prep_save(getattr(refusal, field.attname), connection)
                for refusal in batch
                for field in fields
            ]
            with connection.cursor() as cursor:
                # Names of columns alone; values are parameters.
                cursor.execute(f"INSERT INTO {table} ({columns}) VALUES {rows}", values)  # noqa: S608

    def _delete_rows(self, pks: Sequence[int]) -> int:
        connection = connections[self.db]
        table = connection.ops.quote_name(Refusal._meta.db_table)
        column = connection.ops.quote_name(str(Refusal._meta.pk.column))
        marks = ", ".join(["%s"] * len(pks))
        with connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE {column} IN ({marks})", pks)  # noqa: S608
            return int(cursor.rowcount)


class Refusal(models.Model):
    """One request that was refused, or would have been if its route did not only observe.

    ``outcome`` is that of ``request.verdict``. ``row_model``, ``row_pk`` and ``row_name``
    are the row that decided. No foreign keys: a row outlives what it names, and may be
    in another database.
    """

    MAX_TEXT: ClassVar[int] = 500

    at = models.DateTimeField(_("when"))
    request_id = models.CharField(_("request id"), max_length=128)
    method = models.CharField(_("method"), max_length=32)
    path = models.CharField(_("path"), max_length=MAX_TEXT)
    origin = models.CharField(_("origin"), max_length=MAX_TEXT, blank=True)
    content_type = models.CharField(_("content type"), max_length=200, blank=True)
    accept = models.CharField(_("accept"), max_length=200, blank=True)
    status = models.PositiveSmallIntegerField(_("status"))
    enforced = models.BooleanField(_("enforced"))
    outcome = models.CharField(_("outcome"), max_length=64)
    reason = models.CharField(_("reason"), max_length=2 * MAX_TEXT)
    route_pk = models.BigIntegerField(_("route"), null=True)
    route_name = models.CharField(_("route"), max_length=100, blank=True)
    row_model = models.CharField(_("kind of row"), max_length=64, blank=True)
    row_pk = models.CharField(_("row"), max_length=64, blank=True)
    row_name = models.CharField(_("row"), max_length=255, blank=True)
    client_pk = models.BigIntegerField(_("client"), null=True)
    client_slug = models.CharField(_("client"), max_length=64, blank=True)
    key_id = models.CharField(_("key"), max_length=32, blank=True)
    principal = models.CharField(_("counted as"), max_length=300)
    is_identified = models.BooleanField(_("identified"))
    address = models.CharField(_("address"), max_length=64, blank=True)
    revision = models.BigIntegerField(_("revision"))
    limits = models.JSONField(_("limits"), default=list)

    objects = RefusalQuerySet.as_manager()

    class Meta:
        verbose_name = _("refused request")
        verbose_name_plural = _("refused requests")
        ordering: ClassVar[list[str]] = ["-at", "-id"]
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=["request_id"], name="apiguard_refusal_id"),
            models.Index(fields=["at"], name="apiguard_refusal_at"),
            models.Index(fields=["client_pk", "at"], name="apiguard_refusal_client"),
            models.Index(fields=["is_identified", "at"], name="apiguard_refusal_prune"),
        )

    def __str__(self) -> str:
        return self.request_id

    @property
    def brought_a_lost_credential(self) -> bool:
        """Whether the request brought a credential that cannot be named again."""
        about = ("token_", "key_", "issuer_", "credential_", "two_", "too_many_bad")
        return not self.client_slug and (
            self.principal.startswith("jwt:") or self.outcome.startswith(about)
        )
