"""Views that settle what they used, in each way that a view may answer."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO

from asgiref.sync import iscoroutinefunction
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from apiguard.errors import LimitExceeded
from apiguard.rest_framework.throttling import TierThrottle


def wanted(request, name):
    value = request.GET.get(name)
    return None if value is None else json.loads(value)


def work(request):
    """Settles and reserves as the query says."""
    reserve, used = wanted(request, "reserve"), wanted(request, "used")
    if reserve is not None:
        request.apiguard.reserve(tokens=reserve)
    if used is not None:
        request.apiguard.settle(tokens=used)
    if wanted(request, "fail"):
        raise RuntimeError("failed after it settled")
    return JsonResponse({})


async def awork(request):
    reserve, used = wanted(request, "reserve"), wanted(request, "used")
    if reserve is not None:
        await request.apiguard.areserve(tokens=reserve)
    if used is not None:
        request.apiguard.settle(tokens=used)
    await asyncio.sleep(wanted(request, "sleep") or 0)
    return JsonResponse({})


class Work(APIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request):
        return Response(json.loads(work(request._request).content))


class Throttled(Work):
    throttle_classes = (TierThrottle,)


def smaller(request):
    """Catches the refusal, and does less."""
    try:
        request.apiguard.reserve(tokens=10**6)
    except LimitExceeded:
        request.apiguard.settle(tokens=1)
    return JsonResponse({})


def stream(request):
    def parts():
        sent = 0
        try:
            for _ in range(10):
                sent += 1
                yield b"word "
        finally:
            request.apiguard.settle(tokens=sent)

    return StreamingHttpResponse(parts())


async def astream(request):
    async def parts():
        sent = 0
        try:
            for _ in range(10):
                sent += 1
                yield b"word "
                await asyncio.sleep(0)
        finally:
            request.apiguard.settle(tokens=sent)

    return StreamingHttpResponse(parts())


def file(request):
    return FileResponse(BytesIO(b"x" * 100_000))


def leaves(request):
    raise KeyboardInterrupt


def wrong(request):
    request.apiguard.settle(tokens=-1)
    return HttpResponse()


# What is called with a request while its view runs.
look_at = {0: lambda request: None}


def look(request):
    look_at[0](request)
    return HttpResponse()


VIEWS = [
    look,
    work,
    awork,
    Work.as_view(),
    Throttled.as_view(),
    smaller,
    stream,
    astream,
    file,
    leaves,
    wrong,
]
NAMES = [
    "look",
    "work",
    "awork",
    "drf",
    "throttled",
    "smaller",
    "stream",
    "astream",
    "file",
    "leaves",
    "wrong",
]
urlpatterns = [path(f"api/{name}", view) for name, view in zip(NAMES, VIEWS, strict=True)]
ASYNCHRONOUS = {name for name, view in zip(NAMES, VIEWS, strict=True) if iscoroutinefunction(view)}
