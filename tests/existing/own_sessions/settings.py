"""DRF with its default classes: sessions, a sign-in page of its own, CSRF."""

from common import *  # noqa: F403

INSTALLED_APPS = (*INSTALLED_APPS, "django.contrib.admin", "rest_framework", "own_sessions")  # noqa: F405
ROOT_URLCONF = "own_sessions.urls"
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/api/me/"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "TIMEOUT": 60}}
