from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/login/", LoginView.as_view()),
    path("accounts/logout/", LogoutView.as_view()),
    path("api-auth/", include("rest_framework.urls")),
    path("api/documents/", views.Documents.as_view()),
    path("api/me/", views.Me.as_view()),
    path("api/contact/", views.Contact.as_view()),
    path("api/dashboard/", views.Dashboard.as_view()),
    path("api/stream/", views.stream),
    path("api/slow/", views.slow),
    path("api/message/", views.message),
]
