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
        from .policy.holder import holder
        from .telemetry import shutdown
        from .telemetry.heartbeats import sender
        from .telemetry.worker_registry import registry_for

        checks.register_all()
        receivers.connect()
        # Policy and telemetry do not import each other.
        sender.configure(holder.status, registry_for)
        holder.on_refresh = sender.note_refresh
        shutdown.watch_uvicorn()
        if apps.is_installed("drf_spectacular"):
            from .rest_framework import schema  # noqa: F401 - registers itself
