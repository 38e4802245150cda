"""What a project does with keys, signals, checks and an admin site of its own."""

import logging
from datetime import timedelta
from typing import Any

from django.contrib.admin import AdminSite
from django.core.checks import register as register_check
from django.http import HttpResponse

from apiguard import signals
from apiguard.admin import register
from apiguard.auth import SignInLimitBackend
from apiguard.caching import make_key
from apiguard.checks import check_coverage
from apiguard.errors import PolicyError
from apiguard.middleware import ApiGuardMiddleware
from apiguard.models import ApiKey, Client, Tier, acting
from apiguard.request.request_id import OneLineFilter, RequestIdFilter
from apiguard.telemetry.masking import MaskKeys

site = AdminSite(name="operators")
register(site)
register_check(check_coverage)
guarded = ApiGuardMiddleware(lambda request: HttpResponse())
cache_key: str = make_key("page", "", 1)

log = logging.getLogger(__name__)
for log_filter in (RequestIdFilter(), OneLineFilter(), MaskKeys()):
    log.addFilter(log_filter)


def note(sender: object, **event: Any) -> None:
    """Receive any signal."""


for signal in (
    signals.key_issued,
    signals.key_rotated,
    signals.key_revoked,
    signals.key_expiring,
    signals.limit_reached,
    signals.policy_published,
    signals.policy_changed,
    signals.counter_away,
    signals.counter_back,
):
    signal.connect(note)


class LimitedSignIn(SignInLimitBackend):
    """A subclass, as projects write it."""


def replace_key(slug: str, tier: Tier) -> tuple[str, str]:
    """Return the texts of a new key and of its successor."""
    with acting(name="onboarding", reason="a new customer"):
        client = Client.objects.create(slug=slug, name=slug, tier=tier)
        key, text = ApiKey.objects.issue(client, "first", scopes=("orders:read",))
        successor, new_text = key.rotate(grace=timedelta(days=7), reason="yearly")
        successor.revoke("not needed")
    return text, new_text


def describe(error: PolicyError) -> tuple[str, str]:
    """Return what is wrong, and what to do."""
    return error.code, error.hint
