"""Plain views, views of Django REST framework and operations of django-ninja."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apiguard.decorators import counted, require_scopes
from apiguard.errors import LimitExceeded
from apiguard.ninja import (
    ApiKeyAuth,
    GuardedAPI,
    JWTAuth,
    RequestRefused,
    use_problem_details,
)
from apiguard.ninja import TierThrottle as NinjaTierThrottle
from apiguard.request.verdict import Outcome
from apiguard.rest_framework.authentication import ApiKeyAuthentication, JWTAuthentication
from apiguard.rest_framework.exceptions import exception_handler
from apiguard.rest_framework.permissions import HasScope
from apiguard.rest_framework.throttling import TierThrottle


@require_scopes("orders:read")
@counted(cost=2)
def orders(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"orders": []})


class Orders(APIView):
    authentication_classes = [ApiKeyAuthentication, JWTAuthentication]
    permission_classes = [HasScope("orders:read")]
    throttle_classes = [TierThrottle]

    def get(self, request: Request) -> Response:
        try:
            return Response([])
        except LimitExceeded as error:
            answer: Response | None = exception_handler(error, {"view": self, "request": request})
            return answer or Response(status=503)


api = GuardedAPI(auth=[ApiKeyAuth("orders:read"), JWTAuth()], throttle=NinjaTierThrottle())
older: NinjaAPI = NinjaAPI()
use_problem_details(older)


def outcome_of(refusal: RequestRefused) -> Outcome | None:
    """Return nothing for what was not refused over a scope."""
    return Outcome.SCOPE_MISSING if refusal.args else None
