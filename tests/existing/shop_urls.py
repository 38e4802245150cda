"""The URLs of a project that was there before apiguard."""

from django.contrib import admin
from django.urls import path
from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("about/", views.comment),
    path("comment/", views.comment),
    path("api/items/", views.Items.as_view()),
    path("api/webhook/", views.webhook),
    path("api/mine/", views.mine),
]
