"""The app's configuration: checks, receivers, and its place in the admin."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class ApiGuardConfig(AppConfig):
    """``INSTALLED_APPS += ["apiguard"]``."""

    name = "apiguard"
    verbose_name = _("API guard")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, receivers
        from .policy.current import current
        from .telemetry.board import board_for
        from .telemetry.reporter import reporter

        checks.register_all()
        receivers.connect()
        # Policy and telemetry do not import each other.
        reporter.begin(current.standing, board_for)
        current.on_look = reporter.looking
        if apps.is_installed("drf_spectacular"):
            from .rest_framework import schema  # noqa: F401 - registers itself
