"""The orders in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin

from project.orders.models import Order

if TYPE_CHECKING:
    _OrderAdmin = admin.ModelAdmin[Order]
else:
    _OrderAdmin = admin.ModelAdmin


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Lists orders with their owner."""

    list_display = ("id", "owner", "item", "quantity", "created_at")
    readonly_fields = ("owner", "created_at")
