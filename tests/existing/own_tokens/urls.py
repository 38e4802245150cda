from django.urls import include, path
from rest_framework.routers import DefaultRouter

from . import views
from .admin import site

router = DefaultRouter()
router.register("items", views.Items)

urlpatterns = [
    path(
        "backend/",
        include(
            [
                path("admin/", site.urls),
                path("api/", include(router.urls)),
                path("api/upload/<name>", views.Upload.as_view()),
                path("api/open/", views.Open.as_view()),
            ]
        ),
    )
]
