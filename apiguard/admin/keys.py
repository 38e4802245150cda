"""API keys: made here, shown once, revoked here, never deleted.

The text of a new key goes from ``ApiKey.objects.build`` into the one response
that answers the form, and nowhere else: no message, session, log or URL holds
it. Digests are neither shown nor searched nor filtered by.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .. import conf
from ..models import ApiKey
from . import tickets
from .base import PolicyAdmin
from .forms import PolicyForm
from .key_states import StateFilter, state_of
from .owners import NOT_YOURS_TO_MAKE, may_make_keys
from .revoking import RevokingAdmin
from .words import DASH, badge, listed

MADE_ONCE = _("This form is too old to make a key with. It is a new one now: look it over, save.")


class KeyForm(PolicyForm):
    """What may be decided, and changed later, about a key."""

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        begins = self.cleaned_data.get("not_before", self.instance.not_before)
        ends = self.cleaned_data.get("expires_at")
        if begins and ends and ends <= begins:
            self.add_error("expires_at", _("The key would end before it begins."))
        return cleaned


class NewKeyForm(KeyForm):
    """The form that makes a key, once; ``user`` is who may send it."""

    user: Any = None

    ticket = forms.CharField(widget=forms.HiddenInput, required=False, max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["ticket"] = tickets.new(self.user.pk)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not tickets.is_good(self.cleaned_data.get("ticket", ""), self.user.pk):
            self.data = {**self.data.dict(), "ticket": self.initial["ticket"]}  # type: ignore[attr-defined]
            self.add_error(None, MADE_ONCE)
        client = self.cleaned_data.get("client")
        if client is not None and not may_make_keys(self.user, client):
            self.add_error("client", NOT_YOURS_TO_MAKE)
        return cleaned


class ApiKeyAdmin(RevokingAdmin, PolicyAdmin):
    """Credentials of clients."""

    can_break_policy = False
    about = _("Search takes a name, a client, or a key's public beginning; never a whole key.")
    when_empty = _("There are no keys. Add a client first, then make a key for it.")
    list_display = (
        "masked",
        "name",
        "client",
        "environment",
        "scope_words",
        "state",
        "expires_at",
        "last_used_at",
    )
    list_filter = (StateFilter, "environment", "client__tier")
    list_select_related = ("client",)
    search_fields = ("name", "key_id", "client__name", "client__slug")
    autocomplete_fields = ("client",)
    decided = ("masked", "client", "environment", "not_before")
    editable = ("name", "scopes", "allowed_networks", "expires_at")
    facts = ("state", "created_at", "last_used_at", "replaces")
    revocation = ("revoked_at", "revoked_by", "revoke_reason")

    # -- forms ----------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            names = ("client", "name", "environment", "scopes", "allowed_networks")
            return [(None, {"fields": (*names, "not_before", "expires_at", "ticket")})]
        revoked = [(_("Revoked, for good"), {"fields": self.revocation})]
        return [
            *(revoked if obj.revoked_at else []),
            (None, {"fields": (*self.decided, *self.facts)}),
            (_("What it may do"), {"fields": self.editable}),
        ]

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
        except tickets.TicketUsed as used:
            return self._made_before(request, used.key_pk)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # -- making ---------------------------------------------------------------

    @sensitive_variables("built", "text")
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        built, text = ApiKey.objects.build(
            obj.client, obj.name, obj.scopes, obj.environment, obj.expires_at
        )
        obj.key_id, obj.digest, obj.pepper_id = built.key_id, built.digest, built.pepper_id
        super().save_model(request, obj, form, change)
        tickets.use(request, form.cleaned_data["ticket"], obj.pk)
        request._apiguard_key_text = text  # type: ignore[attr-defined]

    @sensitive_variables("text", "context")
    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The one response that holds the text of the key."""
        text = request.__dict__.pop("_apiguard_key_text")
        context = self._page(request, _("Copy this key now"), obj)
        context |= {"text": text, "header": conf.current().api_key_header}
        response = TemplateResponse(request, "admin/apiguard/apikey/created.html", context)
        response["Cache-Control"] = "no-store"
        response["Referrer-Policy"] = "no-referrer"
        return response

    def _made_before(self, request: HttpRequest, key_pk: int) -> HttpResponse:
        key = ApiKey.objects.select_related("client").filter(pk=key_pk).first()
        context = self._page(request, _("This key was made already"), key)
        template = "admin/apiguard/apikey/made_before.html"
        return TemplateResponse(request, template, context, status=409)

    def _page(self, request: HttpRequest, title: Any, key: ApiKey | None) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "key": key,
            "masked": self.masked(key) if key else "",
            "is_popup": "_popup" in request.POST or "_popup" in request.GET,
            "media": self.media,
        }

    # -- lists ----------------------------------------------------------------

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        parts = search_term.strip().split("_")
        if len(parts) >= 3 and parts[0] == conf.current().key_namespace:
            search_term = parts[2]  # What is shown of a key is "ag_live_<id>_…".
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description=_("key"), ordering="key_id")
    def masked(self, key: ApiKey) -> str:
        return f"{conf.current().key_namespace}_{key.environment}_{key.key_id}_…"

    @admin.display(description=_("scopes"))
    def scope_words(self, key: ApiKey) -> str:
        return " ".join(listed(key.scopes)) or DASH

    @admin.display(description=_("state"))
    def state(self, key: ApiKey) -> SafeString:
        return badge(state_of(key, timezone.now()))


SCREENS = {ApiKey: ApiKeyAdmin}
