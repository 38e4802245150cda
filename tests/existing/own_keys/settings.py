"""Plain Django, keys of its own in X-API-Key, no DRF."""

from common import *  # noqa: F403

INSTALLED_APPS = (*INSTALLED_APPS, "django.contrib.admin", "own_keys")  # noqa: F405
ROOT_URLCONF = "own_keys.urls"
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "KEY_PREFIX": "own"}
}
