"""The views of the reference site: DRF views, and plain Django views without DRF.

No view verifies a credential. The middleware has done so, and
``request.apiguard`` holds the result.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Generator
from typing import Any, NoReturn

from django.core.exceptions import BadRequest
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_http_methods, require_POST, require_safe
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
    """Answer 200: this process works."""
    return JsonResponse({"status": "ok"})


@require_http_methods(["GET", "HEAD", "POST"])
def plain(request: HttpRequest) -> JsonResponse:
    """Return the principal and the body that arrived; a view without DRF."""
    return JsonResponse(
        {
            "principal": principal_of(request),
            "body_bytes": len(request.body),
            "json": _json_or_none(request.body),
        }
    )


MOST_WORDS = 2_000
MOST_SECONDS = 2.0


@require_POST
def complete(request: HttpRequest) -> StreamingHttpResponse:
    """Stream ``words`` words, or ``stop_after`` of them; settle as many tokens as were sent."""
    wanted = _json_or_none(request.body)
    wanted = wanted if isinstance(wanted, dict) else {}
    words = _whole_number(wanted.get("words"), "words", MOST_WORDS)
    if "stop_after" in wanted:
        words = min(words, _whole_number(wanted["stop_after"], "stop_after", MOST_WORDS))
    is_asgi = isinstance(request, ASGIRequest)
    parts = _stream_async(request, words) if is_asgi else _stream(request, words)
    return StreamingHttpResponse(parts, content_type="text/plain; charset=utf-8")


def _stream(request: HttpRequest, words: int) -> Generator[bytes, None, None]:
    sent = 0
    try:
        for number in range(words):
            sent += 1
            yield b"word%d " % number
    finally:
        # Also where the client has gone away.
        request.apiguard.settle(tokens=sent)  # type: ignore[attr-defined]


async def _stream_async(request: HttpRequest, words: int) -> AsyncIterator[bytes]:
    # A server that waits for the network between two parts notices that a client is gone.
    parts = _stream(request, words)
    try:
        for part in parts:
            yield part
            await asyncio.sleep(0)
    finally:
        parts.close()


@require_safe
def report(request: HttpRequest) -> JsonResponse:
    """Take ``seconds``, as a report does that is expensive to make."""
    try:
        seconds = float(request.GET.get("seconds", "1"))
    except ValueError as error:
        raise BadRequest("seconds is no number") from error
    if not 0 <= seconds <= MOST_SECONDS:
        raise BadRequest(f"seconds is no number from 0 to {MOST_SECONDS}")
    time.sleep(seconds)
    return JsonResponse({"seconds": seconds})


def _whole_number(value: object, name: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BadRequest(f"{name} is no whole number from 0 to {most}")
    return value


def boom(request: HttpRequest) -> NoReturn:
    """Raise an exception whose text must not leave the site."""
    raise RuntimeError("boom: this text is for the log alone")


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def principal_of(request: HttpRequest | Request) -> str:
    """Return the principal of a request; empty if there is none."""
    guard = getattr(request, "apiguard", None)
    return str(getattr(guard, "principal", None) or "")


class WhoAmI(APIView):
    """The caller, as this API identifies it."""

    @extend_schema(responses=WhoAmISerializer)
    def get(self, request: Request) -> Response:
        """Return the caller's name (if there is one), principal, client, tier and scopes."""
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
    """The caller's own orders."""

    serializer_class = OrderSerializer

    def get_permissions(self) -> list[Any]:
        """Require a scope for reading and another one for writing."""
        reading = self.request.method in SAFE_METHODS
        return [HasScope("orders:read" if reading else "orders:write")()]

    def get_queryset(self) -> QuerySet[Order]:
        """Return the orders of this request's principal."""
        return Order.objects.filter(owner=principal_of(self.request))


class Orders(OwnOrders, generics.ListCreateAPIView[Order]):
    """List orders, or place one."""

    def perform_create(self, serializer: BaseSerializer[Order]) -> None:
        """Save the new order for this request's principal."""
        serializer.save(owner=principal_of(self.request))


class OneOrder(OwnOrders, generics.RetrieveAPIView[Order]):
    """One order."""


class Export(OwnOrders, generics.ListAPIView[Order]):
    """All orders at once; its route counts each request as ten, because it is expensive."""
