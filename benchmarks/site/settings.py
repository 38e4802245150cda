"""Django settings of one case: ``BENCH_CASE``, ``BENCH_DATABASE`` (a file), ``BENCH_REDIS``.

What is not in the case is the same for all of them.
"""

from __future__ import annotations

import os
from datetime import timedelta

from benchmarks.site.cases import BY_NAME, ORIGINS
from project.environment import caches, database

CASE = BY_NAME[os.environ["BENCH_CASE"]]
SECRET_KEY = "benchmark-secret-key-" * 3
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "benchmarks.site.urls"
INSTALLED_APPS = [
    *CASE.apps,
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "rest_framework",
]
MIDDLEWARE = list(CASE.middleware)
USE_TZ = True

DATABASES = {
    "default": {
        **database({"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_DATABASE"]}),
        # Kind to whoever needs queries: the connection stays open.
        "CONN_MAX_AGE": None,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# One pool for all: DRF's throttles use the default cache, apiguard its own alias.
_redis = caches(os.environ["BENCH_REDIS"])["apiguard"]
# A busy machine is not an outage.
_redis["OPTIONS"] = {"SOCKET_CONNECT_TIMEOUT": 10, "SOCKET_TIMEOUT": 10}
CACHES = {"default": _redis, "apiguard": _redis}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    **CASE.rest,
}

APIGUARD = {
    "KEY_PEPPERS": {"bench": "benchmark-pepper-" * 3},
    "JWT_SECRETS": {"bench": "benchmark-jwt-secret-" * 3},
    **CASE.guard,
}

# The peers', each as its documentation says.
CORS_ALLOWED_ORIGINS = list(ORIGINS)
CORS_ALLOWED_ORIGIN_REGEXES = [r"^https://[a-z0-9-]+\.preview\.example\.com$"]
CORS_ALLOW_CREDENTIALS = True
CORS_EXPOSE_HEADERS = ["X-Request-ID", "Retry-After"]
DJANGO_GUID = {"GUID_HEADER_NAME": "X-Request-ID", "VALIDATE_GUID": False}
SECURE_HSTS_SECONDS = 31536000
RATELIMIT_BACKEND, RATELIMIT_REDIS = "redis", {"url": os.environ["BENCH_REDIS"]}
SIMPLE_JWT = {"ACCESS_TOKEN_LIFETIME": timedelta(days=1)}
