"""A project with two admin sites, one of them in every language, and one below a tenant."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib.admin import AdminSite, site
from django.urls import include, path

from apiguard.admin import register

staff_site = AdminSite("staff")
register(staff_site)
tenant_site = AdminSite("tenant")
register(tenant_site)
urlpatterns = [
    path("back/office/", include([path("admin/", site.urls)])),
    path("<slug:tenant>/admin/", tenant_site.urls),
    *i18n_patterns(path("staff/", staff_site.urls)),
]
