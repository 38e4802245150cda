"""One API for every case: a DRF view, the same with one round trip in it, plain views."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django_redis import get_redis_connection
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

BODY = {"id": 1, "item": "tea", "quantity": 2}


class Thing(APIView):
    """What is guarded."""

    def get(self, request: Request, **_: Any) -> Response:
        """Something small."""
        return Response(BODY)


class Pinged(Thing):
    """The floor: nobody counts in Redis for less than one round trip inside a request."""

    def get(self, request: Request, **_: Any) -> Response:
        """The same, after a round trip."""
        get_redis_connection("apiguard").ping()
        return super().get(request)


def plain(request: HttpRequest, rest: str = "") -> JsonResponse:
    """A view without DRF."""
    return JsonResponse(BODY)


async def asynchronous(request: HttpRequest, rest: str = "") -> JsonResponse:
    """A view that an event loop runs; its length is known without Django's middleware."""
    answer = JsonResponse(BODY)
    answer["Content-Length"] = len(answer.content)
    return answer


urlpatterns = [
    path("api/pinged", Pinged.as_view()),
    path("api/<path:rest>", Thing.as_view()),
    path("async/<path:rest>", asynchronous),
    path("plain/<path:rest>", plain),
    path("health", plain),
]
