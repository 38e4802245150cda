"""A project whose views are throttled by DRF, django-ratelimit and django-smart-ratelimit."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django_ratelimit.decorators import ratelimit
from django_smart_ratelimit.decorator import rate_limit
from rest_framework import routers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import (
    AnonRateThrottle,
    BaseThrottle,
    ScopedRateThrottle,
    UserRateThrottle,
)
from rest_framework.views import APIView


class Burst(UserRateThrottle):
    scope, rate = "burst", "60/min"


class ByTenant(UserRateThrottle):
    rate = "5/min"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return "tenant"


class Dice(BaseThrottle):
    def allow_request(self, request: Request, view: APIView) -> bool:
        return True


class Plain(APIView):
    authentication_classes = ()
    throttle_classes = (AnonRateThrottle, UserRateThrottle)

    def get(self, request: Request) -> Response:
        return Response({})


class Exports(Plain):
    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "exports"


class ByCode(Plain):
    throttle_classes = (ByTenant, Dice)


class Chosen(Plain):
    def get_throttles(self) -> list[BaseThrottle]:
        return []


class Orders(viewsets.ViewSet):
    throttle_classes = (AnonRateThrottle, UserRateThrottle)

    def list(self, request: Request) -> Response:
        return Response([])

    @action(detail=False, throttle_classes=[Burst])
    def busy(self, request: Request) -> Response:
        return Response([])


def ok(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


@method_decorator(ratelimit(key="user", rate="7/h"), name="dispatch")
class Report(View):
    get = staticmethod(ok)


class Upload(View):
    @method_decorator(ratelimit(key="ip", rate="3/m", method="POST"))
    def post(self, request: HttpRequest) -> HttpResponse:
        return ok(request)


def by_plan(group: str, request: HttpRequest) -> str:
    return "5/m"


router = routers.SimpleRouter()
router.register("api/orders", Orders, basename="orders")
urlpatterns = [
    *router.urls,
    path("api/plain", Plain.as_view()),
    path("api/exports", Exports.as_view()),
    path("api/by-code", ByCode.as_view()),
    path("api/chosen", Chosen.as_view()),
    path("sign-in/", ratelimit(key="ip", rate="10/5m")(ok)),
    path("search/", ratelimit(key="user_or_ip", rate="20/m", block=False, group="search")(ok)),
    path("search/old/", ratelimit(key="user_or_ip", rate="20/m", block=False, group="search")(ok)),
    path("by-header/", ratelimit(key="header:x-tenant", rate="5/m")(ok)),
    path("by-plan/", ratelimit(key="ip", rate=by_plan)(ok)),
    path("report/", Report.as_view()),
    path("upload/", Upload.as_view()),
    path("smart/", rate_limit(key="user", rate="30/m")(ok)),
    path("smart/skipped/", rate_limit(key="user", rate="30/m", skip_if=bool)(ok)),
]
