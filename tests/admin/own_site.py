"""A project with an admin site of its own: nothing but apiguard's screens on it."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.urls import path

from apiguard.admin import register

site = AdminSite("desk")
register(site)
urlpatterns = [path("desk/", site.urls)]
