"""Revoking keys: a page that asks why, and says that it cannot be undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..models import ApiKey
from .base import PolicyAdmin, acting_for

if TYPE_CHECKING:
    Base = PolicyAdmin
else:
    Base = object


class RevokeForm(forms.Form):
    """Why."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=255,
        widget=forms.TextInput(attrs={"size": 60, "autofocus": True}),
        help_text=_("For whoever asks why calls are refused. Such as: found in a public log."),
    )


class RevokingAdmin(Base):
    """The part of the key screen that ends keys: a button and an action."""

    actions = ("revoke_selected",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.revoke_view)
        return [
            path("<path:object_id>/revoke/", view, name="apiguard_apikey_revoke"),
            *super().get_urls(),
        ]

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks, POST revokes."""
        key = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, key):
            raise PermissionDenied
        if key is None:
            raise Http404
        done = self._ask_or_revoke(request, [key], sent=request.method == "POST")
        if done is not None:
            return done
        change = reverse(
            "admin:apiguard_apikey_change", args=[key.pk], current_app=self.admin_site.name
        )
        return HttpResponseRedirect(change)

    @admin.action(description=_("Revoke selected keys"), permissions=["change"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """The same for the rows that are ticked in the list."""
        keys = list(queryset.select_related("client"))
        return self._ask_or_revoke(request, keys, sent="post" in request.POST, action=True)

    def _ask_or_revoke(
        self, request: HttpRequest, keys: Sequence[ApiKey], *, sent: bool, action: bool = False
    ) -> HttpResponse | None:
        """The page that asks, or ``None`` when the keys are revoked."""
        form = RevokeForm(request.POST if sent else None)
        alive = [key for key in keys if key.revoked_at is None]
        if sent and form.is_valid():
            self._revoke(request, alive, form.cleaned_data["reason"])
            return None
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Revoke keys") if action else _("Revoke this key"),
            "opts": self.opts,
            "media": self.media,
            "form": form,
            "keys": [(key, self.masked(key)) for key in alive],  # type: ignore[attr-defined]
            "revoked_before": len(keys) - len(alive),
            "action_checkbox_name": ACTION_CHECKBOX_NAME if action else "",
            "status": 200,
        }
        return TemplateResponse(request, "admin/apiguard/apikey/revoke.html", context)

    def _revoke(self, request: HttpRequest, keys: Sequence[ApiKey], reason: str) -> None:
        by = request.user if request.user.is_authenticated else None
        with (
            acting_for(request, reason=reason),
            transaction.atomic(using=router.db_for_write(ApiKey)),
        ):
            for key in keys:
                key.revoke(reason, by)
                self.log_change(request, key, [{"changed": {"fields": ["revoked_at"]}}])
        text = ngettext("%d key is revoked.", "%d keys are revoked.", len(keys)) % len(keys)
        self.message_user(request, text, messages.SUCCESS)
