"""DRF with simplejwt, languages in the path, and no admin."""

from common import *  # noqa: F403

INSTALLED_APPS = (*INSTALLED_APPS, "rest_framework", "own_jwt")  # noqa: F405
ROOT_URLCONF = "own_jwt.urls"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LANGUAGE_CODE = "en"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_THROTTLE_RATES": {"search": "2/min"},
}
