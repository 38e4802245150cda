"""The views of the reference site: DRF ones, and plain Django ones that know nothing of it.

None of them checks a credential: the middleware did, and left what it found
on ``request.apiguard``.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.db.models import QuerySet
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_http_methods, require_safe
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from apiguard.rest_framework.permissions import HasScope
from project.orders.models import Order
from project.orders.serializers import OrderSerializer, WhoAmISerializer


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Whether this process answers."""
    return JsonResponse({"status": "ok"})


@require_http_methods(["GET", "HEAD", "POST"])
def plain(request: HttpRequest) -> JsonResponse:
    """A view without DRF: who called, and what of the body arrived."""
    return JsonResponse(
        {
            "principal": principal_of(request),
            "body_bytes": len(request.body),
            "json": _json_or_none(request.body),
        }
    )


def boom(request: HttpRequest) -> NoReturn:
    """Fails, with a text that must not leave the site."""
    raise RuntimeError("boom: this text is for the log alone")


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def principal_of(request: HttpRequest | Request) -> str:
    """Who is calling, as apiguard counts them; empty where nobody was identified."""
    guard = getattr(request, "apiguard", None)
    return str(getattr(guard, "principal", None) or "")


class WhoAmI(APIView):
    """Who am I, as this API sees it?"""

    @extend_schema(responses=WhoAmISerializer)
    def get(self, request: Request) -> Response:
        """The caller's name (where there is one), principal, client, tier and scopes."""
        guard = request.apiguard  # type: ignore[attr-defined]
        client = guard.client
        user: dict[str, Any] = {
            "principal": guard.principal,
            "client": client.slug if client is not None else None,
            "tier": guard.tier,
            "scopes": sorted(guard.scopes),
        }
        if username := request.user.get_username():
            user["username"] = username
        return Response({"user": user})


class OwnOrders(generics.GenericAPIView[Order]):
    """The caller's orders, and nobody else's."""

    serializer_class = OrderSerializer

    def get_permissions(self) -> list[Any]:
        """Reading and writing are two scopes."""
        reading = self.request.method in SAFE_METHODS
        return [HasScope("orders:read" if reading else "orders:write")()]

    def get_queryset(self) -> QuerySet[Order]:
        """Rows of this request's principal."""
        return Order.objects.filter(owner=principal_of(self.request))


class Orders(OwnOrders, generics.ListCreateAPIView[Order]):
    """List orders, place one."""

    def perform_create(self, serializer: BaseSerializer[Order]) -> None:
        """The principal owns what it creates."""
        serializer.save(owner=principal_of(self.request))


class OneOrder(OwnOrders, generics.RetrieveAPIView[Order]):
    """One order."""


class Export(OwnOrders, generics.ListAPIView[Order]):
    """All orders at once; dear, so its route counts each request as ten."""
