"""The URLs of the reference site."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from project.orders import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("health", views.health, name="health"),
    path("api/users/me", views.WhoAmI.as_view(), name="whoami"),
    path("api/orders", views.Orders.as_view(), name="orders"),
    path("api/orders/<int:pk>", views.OneOrder.as_view(), name="order"),
    path("api/plain", views.plain, name="plain"),
    path("api/export", views.Export.as_view(), name="export"),
    path("api/complete", views.complete, name="complete"),
    path("api/report", views.report, name="report"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    # The split view has its script in a file, so that the page's CSP can be 'self'.
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("admin/", admin.site.urls),
]

if settings.DEBUG or settings.DEMO:
    urlpatterns.append(path("api/boom", views.boom, name="boom"))
