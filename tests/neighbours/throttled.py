"""Views that packages other than apiguard throttle, by the user: two requests a minute."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django_ratelimit.decorators import ratelimit
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle, UserRateThrottle
from rest_framework.views import APIView

from apiguard.rest_framework.authentication import ApiKeyAuthentication, JWTAuthentication


class TwoPerMinute(UserRateThrottle):
    rate = "2/min"


class TwoPerMinuteInScope(ScopedRateThrottle):
    THROTTLE_RATES = {"orders": "2/min"}


class ByUser(APIView):
    authentication_classes = [ApiKeyAuthentication, JWTAuthentication]
    throttle_classes = [TwoPerMinute]

    def get(self, request: Request) -> Response:
        return Response({})


class ByScope(ByUser):
    throttle_classes = [TwoPerMinuteInScope]
    throttle_scope = "orders"


@ratelimit(key="user", rate="2/m", block=False)
def by_ratelimit(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=429 if request.limited else 200)  # type: ignore[attr-defined]


urlpatterns = [
    path("api/user", ByUser.as_view()),
    path("api/scope", ByScope.as_view()),
    path("api/ratelimit", by_ratelimit),
]
