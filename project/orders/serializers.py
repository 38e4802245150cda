"""The JSON of an order, and of the caller."""

from __future__ import annotations

from rest_framework import serializers

from project.orders.models import Order


class OrderSerializer(serializers.ModelSerializer[Order]):
    """``{"id", "item", "quantity", "created_at"}``; the body cannot set the owner."""

    class Meta:
        model = Order
        fields = ("id", "item", "quantity", "created_at")
        read_only_fields = ("id", "created_at")


class CallerSerializer(serializers.Serializer[dict[str, object]]):
    """How a request is counted."""

    username = serializers.CharField(required=False)
    principal = serializers.CharField()
    client = serializers.CharField(allow_null=True)
    tier = serializers.CharField(allow_blank=True)
    scopes = serializers.ListField(child=serializers.CharField())


class WhoAmISerializer(serializers.Serializer[dict[str, object]]):
    """``{"user": {...}}``."""

    user = CallerSerializer()
