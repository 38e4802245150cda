"""Revocation of keys, with a confirmation page that takes a reason."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ...models import ApiKey
from ..screens import record_actor
from .pages import KeyPageMixin, public_part

# One form may send that many: DATA_UPLOAD_MAX_NUMBER_FIELDS is 1,000.
MOST_AT_ONCE = 500


class RevokeForm(forms.Form):
    """The reason of a revocation."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=255,
        widget=forms.TextInput(attrs={"class": "vTextField", "autofocus": True}),
        help_text=_("Kept in the history. Such as: found in a public log."),
    )


class RevokeMixin(KeyPageMixin):
    """Mixin of the key screen that revokes keys, by a button and an action."""

    actions = ("revoke_selected",)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.revoke_view)
        return [
            path("<path:object_id>/revoke/", view, name="apiguard_apikey_revoke"),
            *super().get_urls(),
        ]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Return whether the signed-in user may revoke keys."""
        return bool(request.user.has_perm("apiguard.revoke_apikey"))

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the confirmation page on GET; revoke the key on POST."""
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        key = self.get_object(request, unquote(object_id))
        if key is None:
            raise Http404
        return self.retry_conflicts(request, partial(self._revoke_one, request, key))

    def _revoke_one(self, request: HttpRequest, key: ApiKey) -> HttpResponse:
        done = self._confirm_or_revoke(request, [key], sent=request.method == "POST")
        if done is not None:
            return done
        here = self.admin_site.name
        after = reverse("admin:index", current_app=here)
        if self.has_view_permission(request, key):
            after = reverse("admin:apiguard_apikey_change", args=[key.pk], current_app=here)
        return HttpResponseRedirect(after)

    @admin.action(description=_("Revoke selected keys"), permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Revoke the keys that are selected in the list."""
        keys = list(queryset.select_related("client")[: MOST_AT_ONCE + 1])
        if len(keys) > MOST_AT_ONCE:
            text = _("These are too many to check. Filter the list, or select at most %d keys.")
            self.message_user(request, text % MOST_AT_ONCE, messages.ERROR)
            return None
        return self._confirm_or_revoke(request, keys, sent="post" in request.POST, action=True)

    def _confirm_or_revoke(
        self, request: HttpRequest, keys: Sequence[ApiKey], *, sent: bool, action: bool = False
    ) -> HttpResponse | None:
        """Return the confirmation page, or ``None`` when the keys are revoked."""
        form = RevokeForm(request.POST if sent else None)
        alive = [key for key in keys if key.revoked_at is None]
        if sent and form.is_valid():
            self._revoke(request, alive, form.cleaned_data["reason"])
            return None
        return self.page(
            request,
            "revoke",
            _("Revoke keys") if action else _("Revoke this key"),
            form=form,
            keys=[(key, public_part(key)) for key in alive],
            revoked_before=len(keys) - len(alive),
            action_checkbox_name=ACTION_CHECKBOX_NAME if action else "",
        )

    def _revoke(self, request: HttpRequest, keys: Sequence[ApiKey], reason: str) -> None:
        by = request.user if request.user.is_authenticated else None
        with (
            record_actor(request, reason=reason),
            transaction.atomic(using=router.db_for_write(ApiKey)),
        ):
            for key in keys:
                key.revoke(reason, by)
                self.log_change(request, key, [{"changed": {"fields": ["revoked_at"]}}])
        text = ngettext("%d key was revoked.", "%d keys were revoked.", len(keys)) % len(keys)
        self.message_user(request, text, messages.SUCCESS)
