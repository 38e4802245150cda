from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("form/", views.form),
    path("api/form/", views.form),
    *(
        path(f"api/{name}/", getattr(views, name))
        for name in (
            *("notes", "upload", "throttled", "hook", "legacy", "status", "report", "events"),
            *("fragment", "open_to_all", "mine", "raises"),
        )
    ),
]
