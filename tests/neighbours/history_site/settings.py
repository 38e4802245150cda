"""Settings of the site; ``run.py`` chooses the middleware."""

from __future__ import annotations

SECRET_KEY = "history-site-secret-key-" * 3
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "apiguard",
    "tests.neighbours.history_site",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "rest_framework",
    "simple_history",
    "reversion",
    "auditlog",
]
MIDDLEWARE = [
    "apiguard.middleware.ApiGuardMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "tests.neighbours.history_site.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
APIGUARD = {"POLICY_MAX_AGE": None, "KEY_PEPPERS": {"tests": "p" * 40}}
