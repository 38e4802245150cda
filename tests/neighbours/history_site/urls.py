"""Views that write one row: ``/api/<model>`` plain, ``/api/drf/<model>`` with DRF."""

from __future__ import annotations

from django.apps import apps
from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apiguard.rest_framework.authentication import ApiKeyAuthentication


def _write(name: str) -> None:
    apps.get_model("history_site", name).objects.create(text="x")


def write(request: HttpRequest, name: str) -> HttpResponse:
    _write(name)
    return HttpResponse(status=201)


class Write(APIView):
    authentication_classes = [ApiKeyAuthentication]

    def post(self, request: Request, name: str) -> Response:
        _write(name)
        return Response(status=201)


urlpatterns = [path("api/<name>", write), path("api/drf/<name>", Write.as_view())]
