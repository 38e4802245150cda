"""What a key can do right now, in one word, and the list filter by it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import ApiKey


def state_of(key: ApiKey, now: datetime) -> str:
    """Why a key is refused, or "valid"; what cannot be undone is said first."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    if not key.client.enabled:
        return "client disabled"
    if key.not_before is not None and key.not_before > now:
        return "not yet valid"
    return "valid"


def in_state(state: str, now: datetime) -> Q:
    """The same as a condition on rows."""
    revoked, ended = Q(revoked_at__isnull=False), Q(expires_at__lte=now)
    early, enabled = Q(not_before__gt=now), Q(client__enabled=True)
    conditions = {
        "revoked": revoked,
        "expired": ~revoked & ended,
        "client disabled": ~revoked & ~ended & ~enabled,
        "not yet valid": ~revoked & ~ended & enabled & early,
        "valid": ~revoked & ~ended & enabled & ~early,
    }
    return conditions[state]


class StateFilter(admin.SimpleListFilter):
    """Keys by what they can do right now."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        states = ("valid", "revoked", "expired", "not yet valid", "client disabled")
        return [(state, state) for state in states]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(in_state(chosen, timezone.now()))
