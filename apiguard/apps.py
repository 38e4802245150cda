"""The app's configuration: checks, receivers, and its place in the admin."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from .policy.holder import PolicyHolder
    from .telemetry.metrics import PolicyGauges

logger = logging.getLogger("apiguard.policy")


class ApiGuardConfig(AppConfig):
    """``INSTALLED_APPS = [*INSTALLED_APPS, "apiguard"]``."""

    name = "apiguard"
    verbose_name = _("API guard")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, receivers
        from .models import audit, exact_text
        from .policy.holder import holder
        from .request.request_id import current_ids
        from .telemetry import metrics, shutdown, webhooks
        from .telemetry.heartbeats import sender
        from .telemetry.worker_registry import registry_for
        from .testing import reset_counters

        checks.register_all()
        receivers.connect()
        exact_text.search_in_any_case(self)
        webhooks.connect()
        # Policy and telemetry do not import each other.
        sender.configure(holder.status, registry_for)
        audit.request_id_of = lambda: current_ids.get().request_id
        metrics.read_policy = lambda: _policy_gauges(holder)
        holder.on_refresh = sender.note_refresh
        holder.on_new_test = reset_counters
        _log_testing()
        shutdown.watch_uvicorn()
        if apps.is_installed("drf_spectacular"):
            from .rest_framework import schema  # noqa: F401 - registers itself


def _policy_gauges(holder: PolicyHolder) -> PolicyGauges:
    """What the metrics show of the policy that this process holds."""
    from .telemetry.metrics import PolicyGauges

    status, snapshot = holder.status(), holder.ready()
    size = None if snapshot is None else len(snapshot.keyring)
    return PolicyGauges(status.revision, status.refreshed_at, size)


def _log_testing() -> None:
    """Log that apiguard behaves as in tests, where the settings ask for that."""
    from . import conf

    try:
        is_set = bool(conf.given().get("TESTING")) and conf.current().testing
    except ImproperlyConfigured:
        return  # A system check reports it, and every request fails.
    if is_set:
        logger.warning(
            "APIGUARD['TESTING'] is on: limits are counted in memory, changes made by other "
            "processes are noticed late or never, and nothing is recorded."
        )
