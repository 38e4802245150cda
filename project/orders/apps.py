"""The orders of the reference site."""

from __future__ import annotations

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Label ``orders``, rows with 64-bit keys."""

    name = "project.orders"
    default_auto_field = "django.db.models.BigAutoField"
