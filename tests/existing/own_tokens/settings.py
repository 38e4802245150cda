"""DRF with tokens of its own, an AdminSite of its own, and all URLs under a context path."""

from common import *  # noqa: F403

INSTALLED_APPS = (
    *INSTALLED_APPS,  # noqa: F405
    "django.contrib.admin.apps.SimpleAdminConfig",
    "rest_framework",
    "own_tokens",
)
ROOT_URLCONF = "own_tokens.urls"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["own_tokens.access.DeviceAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["own_tokens.access.FivePerMinute"],
    "EXCEPTION_HANDLER": "own_tokens.errors.handle",
    "PAGE_SIZE": 2,
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
}
