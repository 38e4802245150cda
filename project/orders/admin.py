"""The orders in the admin, to look at."""

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
    """Orders with who placed them."""

    list_display = ("id", "owner", "item", "quantity", "created_at")
    readonly_fields = ("owner", "created_at")
