"""The screen of API keys: created here, shown once, revoked here, never deleted.

The text of a new key goes from ``ApiKey.objects.build`` into the response to
the form, and nowhere else: no message, session, log or URL holds it. Digests
are not shown, and cannot be searched or filtered by.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ... import conf
from ...models import ApiKey
from ...policy.callers import read_caller_records
from ...rules.keys import find
from ...telemetry.formatting import format_moment
from ..base import PolicyAdmin
from ..display import DASH, as_strings, lines
from ..edit_merge import with_shown
from ..edit_validation import confirm_callers
from . import form_tokens
from .forms import KeyForm, NewKeyForm
from .identify import IdentifyMixin
from .pages import public_part
from .revoke import RevokeMixin
from .rotate import RotateMixin
from .state import StateFilter, UnusedFilter, state_badge

WHOLE_KEY_SEARCHED = _(
    "You searched for a whole key. Searches are kept in the browser's history and in access logs. "
    "If others can read these, rotate the key. Use “Identify a key” for whole keys."
)


class ApiKeyAdmin(RotateMixin, RevokeMixin, IdentifyMixin, PolicyAdmin):
    """The screen of API keys."""

    can_break_policy = False
    needs_reason = True
    about = _("Search takes a name, a client, or a key's public beginning; never a whole key.")
    when_empty = _("There are no keys. Add a client first, then create a key for it.")
    list_display = ("key_and_name", "state", "client", "scope_list", "times")
    list_filter = (StateFilter, UnusedFilter, "environment", "client__tier")
    list_select_related = ("client",)
    search_fields = ("name", "key_id", "client__name", "client__slug")
    autocomplete_fields = ("client",)
    decided = ("masked", "client", "environment", "not_before")
    editable = ("name", "scopes", "allowed_networks", "expires_at")
    facts = ("state", "created", "last_used", "line")
    revocation = ("revoked", "revoked_by", "revoke_reason")

    # -- forms ----------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            names = ("client", "name", "environment", "scopes", "allowed_networks")
            return [(None, {"fields": (*names, "not_before", "expires_at", "form_token")})]
        revoked = [(_("Revoked, for good"), {"fields": self.revocation})]
        fieldsets = [
            *(revoked if obj.revoked_at else []),
            (None, {"fields": (*self.decided, *self.facts)}),
            (_("What the key may do"), {"fields": self.editable}),
        ]
        merges = obj.revoked_at is None and self.has_change_permission(request, obj)
        return with_shown(fieldsets) if merges else fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        fixed = (*self.decided, *self.facts, *self.revocation)
        return (*fixed, *self.editable) if obj.revoked_at else fixed

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = NewKeyForm if obj is None else KeyForm
        form = super().get_form(request, obj, change=change, **kwargs)
        form.user = request.user
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except form_tokens.FormTokenUsed as used:
            return self.already_created_page(request, used.key_pk)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # -- creating -------------------------------------------------------------

    @sensitive_variables("built", "text")
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            before = read_caller_records(keys=[obj.pk])
            super().save_model(request, obj, form, change)
            confirm_callers(request, before, read_caller_records(keys=[obj.pk]))
            return
        built, text = ApiKey.objects.build(
            obj.client, obj.name, obj.scopes, obj.environment, obj.expires_at
        )
        obj.key_id, obj.digest, obj.pepper_id = built.key_id, built.digest, built.pepper_id
        super().save_model(request, obj, form, change)
        form_tokens.consume(request, form.cleaned_data["form_token"], obj.pk)
        request._apiguard_key_text = text  # type: ignore[attr-defined]

    @sensitive_variables("text")
    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Return the one response that holds the text of the key."""
        return self.secret_page(request, obj, request.__dict__.pop("_apiguard_key_text"))

    # -- lists ----------------------------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        searched = request.GET.get("q", "")[:1000].encode("utf-8", "replace")
        for _end, parts in find(searched, conf.current().key_namespace):
            if parts is not None:
                self.message_user(request, WHOLE_KEY_SEARCHED, messages.WARNING)
                query = request.GET.copy()
                query["q"] = parts.key_id
                return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")
        return super().changelist_view(request, extra_context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        parts = search_term.strip().split("_")
        if len(parts) >= 3 and parts[0] == conf.current().key_namespace:
            search_term = parts[2]  # What is shown of a key is "ag_live_<id>_…".
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description=_("key"), ordering="key_id")
    def masked(self, key: ApiKey) -> str:
        return public_part(key)

    @admin.display(description=_("key"), ordering="key_id")
    def key_and_name(self, key: ApiKey) -> SafeString:
        return format_html('{}<span class="apiguard-line">{}</span>', public_part(key), key.name)

    @admin.display(description=_("last use, expiry"), ordering="last_used_at")
    def times(self, key: ApiKey) -> SafeString | str:
        used = key.last_used_at
        found = [_("used %s") % format_moment(used) if used is not None else _("never used")]
        if key.expires_at is not None:
            found.append(_("expires %s") % format_moment(key.expires_at))
        return lines(found)

    @admin.display(description=_("created"))
    def created(self, key: ApiKey) -> str:
        return format_moment(key.created_at)

    @admin.display(description=_("last used"))
    def last_used(self, key: ApiKey) -> str:
        if key.last_used_at is None:
            return DASH
        when = format_moment(key.last_used_at)
        if not key.last_used_from:
            return when
        return f"{when} ({key.last_used_from})"

    @admin.display(description=_("revoked at"))
    def revoked(self, key: ApiKey) -> str:
        return DASH if key.revoked_at is None else format_moment(key.revoked_at)

    @admin.display(description=_("scopes"))
    def scope_list(self, key: ApiKey) -> str:
        return " ".join(as_strings(key.scopes)) or DASH

    @admin.display(description=_("state"))
    def state(self, key: ApiKey) -> SafeString:
        return state_badge(key, timezone.now())

    @admin.display(description=_("before and after it"))
    def line(self, key: ApiKey) -> SafeString | str:
        """Return links to the key that this one replaces, and to those that replace it."""
        found = [(_("replaces"), key.replaces)] if key.replaces is not None else []
        found += [(_("replaced by"), other) for other in key.replaced_by.order_by("pk")]
        links = [(label, self._link(other)) for label, other in found]
        return format_html_join("", '<span class="apiguard-line">{} {}</span>', links) or DASH

    def _link(self, key: ApiKey) -> SafeString:
        change = "admin:apiguard_apikey_change"
        address = reverse(change, args=[key.pk], current_app=self.admin_site.name)
        return format_html('<a href="{}">{}</a>', address, public_part(key))


SCREENS = {ApiKey: ApiKeyAdmin}
