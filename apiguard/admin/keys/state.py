"""State and use of keys: badges and list filters."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ...models import ApiKey
from ...models.key_conditions import FILTERABLE, SOON, ending_soon, in_state, never_used, unused
from ...rules.key_life import KeyState
from ..display import badge

TONES = {KeyState.VALID: "good", KeyState.REVOKED: "bad", KeyState.EXPIRED: "quiet"}
ENDING_SOON = "ending soon"
UNUSED_DAYS = (30, 90)


def state_badge(key: ApiKey, now: datetime) -> SafeString:
    """Return the state of a key, with a warning if the key expires soon."""
    state = key.state(now)
    shown = badge(state, TONES.get(state, "warn"))
    if state is KeyState.VALID and key.expires_at is not None and key.expires_at <= now + SOON:
        text = _("ends in %(time)s") % {"time": timeuntil(key.expires_at, now, depth=1)}
        return format_html("{} {}", shown, badge(text, "warn"))
    return shown


class StateFilter(admin.SimpleListFilter):
    """Filter keys by their current state."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(ENDING_SOON, ENDING_SOON), *((str(state), str(state)) for state in FILTERABLE)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen, now = self.value(), timezone.now()
        if chosen == ENDING_SOON:
            return queryset.filter(ending_soon(now))
        if chosen not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(in_state(KeyState(str(chosen)), now))


class UnusedFilter(admin.SimpleListFilter):
    """Filter keys that are neither revoked nor expired and were not used for a long time."""

    title = gettext_lazy("unused")
    parameter_name = "unused"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        since = [
            (str(days), gettext_lazy("for %(days)d days") % {"days": days}) for days in UNUSED_DAYS
        ]
        return [("never", gettext_lazy("never used")), *since]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen, now = str(self.value()), timezone.now()
        conditions: dict[str, Q] = {str(days): unused(now, days) for days in UNUSED_DAYS}
        conditions["never"] = never_used(now)
        return queryset.filter(conditions[chosen]) if chosen in conditions else queryset
