"""The screen of blocked networks: who is refused before anything else, until when, and why."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from .. import conf
from ..models import BlockedNetwork
from ..policy.snapshot import Snapshot
from ..request.facts import facts_of
from ..rules.networks import Address, contains, parse_network
from ..telemetry.formatting import format_moment
from .base import PolicyAdmin
from .display import badge
from .forms import PolicyForm


def address_of(request: HttpRequest) -> Address | None:
    """Return the address that this request would be blocked by."""
    settings = conf.current()
    facts = facts_of(request.META, request.method or "", settings, secure=request.is_secure())
    return facts.address(settings)


def blocks_own_address(request: HttpRequest, snapshot: Snapshot) -> bool:
    """Return whether a policy blocks the person who sends this request."""
    return snapshot.blocks.find(address_of(request), time.time()) is not None


class BlockForm(PolicyForm):
    """The form of a block; it refuses one that would lock out the person who saves it."""

    own_address: Address | None = None

    def full_clean(self) -> None:
        """Refuse a network that holds this person's own address."""
        super().full_clean()
        text = getattr(self, "cleaned_data", {}).get("network")
        # The field itself reports what is wrong with the network.
        if text and "network" not in self.errors:
            self._check_own_address(text)

    def _check_own_address(self, text: str) -> None:
        if contains([parse_network(text)], self.own_address):
            message = _(
                "%(address)s is your own address: this block would lock you out. "
                "Block a narrower network."
            )
            params = {"address": self.own_address}
            self.add_error("network", forms.ValidationError(message, "own_address", params))

    def clean_until(self) -> datetime | None:
        """Refuse a block that has ended before it is saved."""
        until: datetime | None = self.cleaned_data["until"]
        if until is not None and "until" in self.changed_data and until <= timezone.now():
            raise forms.ValidationError(_("This time has passed, so the block has no effect."))
        return until


class BlockedNetworkAdmin(PolicyAdmin):
    """The screen of blocked networks."""

    form = BlockForm
    # A block is valid or not by itself.
    can_break_policy = False
    about = _(
        "Requests from these addresses are answered 403 on every path, before anything else is "
        "looked at. In force in every worker within about a second."
    )
    when_empty = _("No network is blocked.")
    list_display = ("network", "state", "end", "reason")
    search_fields = ("network", "reason")
    fields = ("network", "until", "reason")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.own_address = address_of(request)
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        # A block that nobody ends must end by itself: addresses change hands.
        tomorrow = timezone.localtime().replace(second=0, microsecond=0) + timedelta(days=1)
        return {"until": tomorrow, **super().get_changeform_initial_data(request)}

    # -- one permission for all of it -------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("apiguard.block_network"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) or self.has_add_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return super().has_module_permission(request) or self.has_add_permission(request)

    @admin.display(description=_("until"), ordering="until")
    def end(self, row: BlockedNetwork) -> str:
        """Return when the block ends."""
        return str(_("for good")) if row.until is None else format_moment(row.until)

    @admin.display(description=_("state"))
    def state(self, row: BlockedNetwork) -> SafeString:
        """Return whether the block holds now."""
        if row.until is not None and row.until <= timezone.now():
            return badge(str(_("ended")), "quiet")
        return badge(str(_("in force")), "bad")


SCREENS = {BlockedNetwork: BlockedNetworkAdmin}
