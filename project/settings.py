"""Settings of the reference site, all from the environment.

``SECRET_KEY`` and ``JWT_SECRET`` (or the file that ``manage.py demo`` writes),
``DEBUG``, ``DEMO``, ``ALLOWED_HOSTS``, ``DATABASE_URL``, ``REDIS_URL``,
``CSRF_TRUSTED_ORIGINS``, ``SECURE_PROXY_SSL_HEADER`` (such as
``HTTP_X_FORWARDED_PROTO=https``), and ``APIGUARD_<SETTING>`` for single members
of the ``APIGUARD`` dict.
"""

from __future__ import annotations

import os
from typing import Any

import environ

from project.environment import (
    caches,
    database,
    proxy_ssl_header,
    required,
    single_settings,
)
from project.secrets_file import CHECKOUT, read_secrets, secrets_path

env = environ.Env()
given = {
    **read_secrets(secrets_path()),
    **{name: value for name, value in os.environ.items() if value},
}

SECRET_KEY = required("SECRET_KEY", given)
DEBUG = env.bool("DEBUG", default=False)
# Adds /api/boom, which raises: to see what leaves the site when a view fails.
DEMO = env.bool("DEMO", default=False)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
# Behind a proxy that ends TLS: without these two, Django takes the admin's forms for forged ones.
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SECURE_PROXY_SSL_HEADER = proxy_ssl_header(env.str("SECURE_PROXY_SSL_HEADER", default=""))

INSTALLED_APPS = [
    "apiguard",
    "project",
    "project.orders",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    # First: a refused request costs nothing more, and every response passes through it.
    "apiguard.middleware.ApiGuardMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES: dict[str, dict[str, Any]] = {
    "default": database(env.db_url("DATABASE_URL", default=f"sqlite:///{CHECKOUT / 'db.sqlite3'}"))
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = caches(env.str("REDIS_URL", default=""))

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

# WhiteNoise serves the files of each app, with DEBUG off too; collectstatic is not needed.
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True

APIGUARD: dict[str, Any] = {
    **({"JWT_SECRETS": {"demo": given["JWT_SECRET"]}} if "JWT_SECRET" in given else {}),
    **({"KEY_PEPPERS": {"demo": given["KEY_PEPPER"]}} if "KEY_PEPPER" in given else {}),
    **single_settings(os.environ),
}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apiguard.rest_framework.authentication.ApiKeyAuthentication",
        "apiguard.rest_framework.authentication.JWTAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["apiguard.rest_framework.throttling.TierThrottle"],
    "EXCEPTION_HANDLER": "apiguard.rest_framework.exceptions.exception_handler",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["project.orders.parsers.JSONParser"],
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Orders",
    "DESCRIPTION": "A small orders API, guarded by apiguard.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "apiguard.request.request_id.RequestIdFilter"},
        "mask_keys": {"()": "apiguard.telemetry.masking.MaskKeys"},
        "one_line": {"()": "apiguard.request.request_id.OneLineFilter"},
    },
    "formatters": {
        "line": {"format": "{levelname} {name} [{request_id}] {message}", "style": "{"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["request_id", "mask_keys", "one_line"],
            "formatter": "line",
        },
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    # Django's own handler writes under DEBUG only; the root's handler always writes.
    "loggers": {"django": {"handlers": [], "propagate": True}},
}
