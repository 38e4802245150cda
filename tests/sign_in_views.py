"""Every way to sign in with a name and a password: login, admin, DRF's and simplejwt's tokens."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import path
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.response import Response
from rest_framework_simplejwt.views import TokenObtainPairView


class DrfToken(ObtainAuthToken):
    """DRF's own view, without the table of its tokens."""

    authentication_classes = ()

    def post(self, request, *args, **kwargs):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response({"token": serializer.validated_data["user"].username})


class SimpleJwt(TokenObtainPairView):
    authentication_classes = ()
    throttle_classes = ()


urlpatterns = [
    path("login/", LoginView.as_view(template_name="admin/login.html", next_page="/")),
    path("admin/", admin.site.urls),
    path("drf/", DrfToken.as_view()),
    path("simplejwt/", SimpleJwt.as_view()),
]
