"""Views whose pages Django caches: each page names who is served, and how often it was made."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_cookie, vary_on_headers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apiguard.rest_framework.authentication import ApiKeyAuthentication, JWTAuthentication
from apiguard.rest_framework.permissions import HasScope

made: Counter[str] = Counter()


def _page(request: Any) -> dict[str, Any]:
    made[request.path] += 1
    guard = request.apiguard
    return {"user": str(request.user), "client": guard.client and guard.client.slug}


def page(request: HttpRequest) -> JsonResponse:
    return JsonResponse(_page(request))


def public(request: HttpRequest) -> HttpResponse:
    """Says itself that every cache may keep it."""
    return HttpResponse("for all", headers={"Cache-Control": "public, max-age=60"})


class Page(APIView):
    """The recipe of DRF's documentation, word for word."""

    authentication_classes = [ApiKeyAuthentication, JWTAuthentication]
    permission_classes = [HasScope("orders:read")]

    @method_decorator(cache_page(60 * 60 * 2))
    @method_decorator(vary_on_headers("Authorization"))
    def get(self, request: Request) -> Response:
        return Response(_page(request))


urlpatterns = [
    path("api/page", page),
    path("api/cached", cache_page(60)(page)),
    path("api/cached-by-cookie", cache_page(60)(vary_on_cookie(page))),
    path("api/cached-elsewhere", cache_page(60, cache="other")(page)),
    path("api/drf", Page.as_view()),
    path("api/public", public),
]
