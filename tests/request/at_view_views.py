"""The same two resources four times: with classes of DRF and of ninja, and with decorators."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI, Schema
from ninja.throttling import BaseThrottle

from apiguard.decorators import counted, require_scopes
from apiguard.ninja import ApiKeyAuth, GuardedAPI, JWTAuth, TierThrottle
from tests.request import views

BOTH = [ApiKeyAuth(), JWTAuth()]
api = GuardedAPI(auth=BOTH, throttle=[TierThrottle()], urls_namespace="guarded")
# A project that has an API already, and keeps its own shape of errors.
old = NinjaAPI(auth=[ApiKeyAuth()], throttle=[TierThrottle()], urls_namespace="old")


class Order(Schema):
    quantity: int


@api.get("/thing")
def thing(request: HttpRequest) -> dict[str, Any]:
    return {"user": str(request.user)}


@api.get("/thing/scoped", auth=[ApiKeyAuth("orders:write"), JWTAuth("orders:write")])
def scoped(request: HttpRequest) -> dict[str, Any]:
    return {"user": str(request.user)}


@api.get("/thing/asynchronous")
async def asynchronous(request: HttpRequest) -> dict[str, Any]:
    return {"user": str(request.user)}


@api.post("/thing/order")
def order(request: HttpRequest, body: Order) -> dict[str, Any]:
    return {"quantity": body.quantity}


@api.get("/thing/open", auth=None)
def open_to_all(request: HttpRequest) -> dict[str, Any]:
    return {}


class Closed(BaseThrottle):
    """A throttle of the project's own."""

    def allow_request(self, request: HttpRequest) -> bool:
        return False

    def wait(self) -> float:
        return 77


@api.get("/thing/closed", auth=None, throttle=[Closed()])
def closed(request: HttpRequest) -> dict[str, Any]:
    return {}


@old.get("/thing")
def old_thing(request: HttpRequest) -> dict[str, Any]:
    return {}


@require_scopes()
@counted()
def plain(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.apiguard.principal})


@require_scopes("orders:write")
@counted()
def plain_scoped(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


@csrf_exempt
@counted(cost=5)
async def plain_costly(request: HttpRequest) -> JsonResponse:
    return JsonResponse({})


urlpatterns = [
    path("api/ninja/", api.urls),
    path("api/old/", old.urls),
    path("api/plain/thing", plain),
    path("api/plain/thing/scoped", plain_scoped),
    path("api/plain/thing/costly", plain_costly),
    *views.urlpatterns,
]
