"""Pages that Django caches below EXEMPT_PATHS are kept apart by what callers present."""

from __future__ import annotations

import pytest
from django.core.cache import caches
from django.test import Client, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from rest_framework.response import Response
from rest_framework.views import APIView

from apiguard.caching import PATH
from apiguard.rest_framework.authentication import ApiKeyAuthentication
from tests.request.site import Caller, guarded, route

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "exempt",
        "KEY_FUNCTION": PATH,
    }
}


class Name(APIView):
    authentication_classes = (ApiKeyAuthentication,)
    permission_classes = ()

    def get(self, request):
        return Response({"pk": request.user.pk})


class Inside(Name):
    @method_decorator(cache_page(60))
    def get(self, request):
        return super().get(request)


urlpatterns = [
    path("exempt/outside", cache_page(60)(Name.as_view())),
    path("exempt/inside", Inside.as_view()),
]


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_two_keys_and_nobody_get_a_page_each(where):
    first, second = Caller(), Caller(client_fields={"slug": "b", "name": "b"})
    rows = (*first.rows, *second.rows, route())
    settings = override_settings(CACHES=CACHES, ROOT_URLCONF=__name__)
    with guarded(*rows, EXEMPT_PATHS=["/exempt/"]), settings:
        caches["default"].clear()
        sent = [{"X-API-Key": first.text}, {"X-API-Key": second.text}, {}]
        found = [
            Client().get(f"/exempt/{where}", headers=headers).json()["pk"]
            for headers in (*sent, *sent)
        ]
    assert found[:3] == found[3:]
    assert len(set(found)) == 3
