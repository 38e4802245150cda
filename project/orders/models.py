"""Orders. The owner is a principal, such as ``client:7`` or ``jwt:1:alice``."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone


class Order(models.Model):
    """One order; ``owner`` is ``request.apiguard.principal`` of the request that placed it."""

    owner = models.CharField(max_length=320, editable=False)
    item = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1)])
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["-pk"]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["owner", "-id"])]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.item}"
