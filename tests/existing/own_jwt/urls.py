from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path
from rest_framework.routers import SimpleRouter
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from . import views

router = SimpleRouter()
router.register("tasks", views.Tasks, "task")

urlpatterns = i18n_patterns(
    path("", views.page),
    path("api/", include(router.urls)),
    path("api/who/", views.Who.as_view()),
    path("api/search/", views.Search.as_view()),
    path("api/token/", TokenObtainPairView.as_view()),
    path("api/token/refresh/", TokenRefreshView.as_view()),
)
