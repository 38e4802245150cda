"""JWT issuers: whose tokens are accepted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .. import conf
from ..models import JwtIssuer
from .base import PolicyAdmin
from .words import listed


class KeySetField(forms.JSONField):
    """A JWK set, or nothing: an empty field rather than the word null."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class JwtIssuerAdmin(PolicyAdmin):
    """Who signs tokens, and what a token must say."""

    about = _("A token is held against the one issuer whose name is exactly its “iss”.")
    when_empty = _("There are no issuers, so no JSON Web Token is accepted.")
    list_display = (
        "name",
        "issuer",
        "algorithm_words",
        "audience_words",
        "tier",
        "enabled",
        "problems_marker",
    )
    list_filter = ("enabled", "tier")
    list_select_related = ("tier",)
    search_fields = ("name", "issuer")
    readonly_fields = ("fetched_at",)
    fieldsets = (
        (None, {"fields": ("name", "issuer", "audiences", "enabled")}),
        (
            _("Keys"),
            {
                "fields": ("algorithms", "secret_name", "jwks", "jwks_url", "fetched_at"),
                "description": _(
                    "Where the keys come from: exactly one of a named secret of the settings "
                    "(HS algorithms), public keys pasted here, or a URL that serves them."
                ),
            },
        ),
        (_("What a token must be"), {"fields": ("token_types", "leeway", "max_lifetime")}),
        (
            _("What a token means"),
            {"fields": ("tier", "tier_claim", "scope_claim", "user_field")},
        ),
    )

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "jwks_url":
            kwargs["assume_scheme"] = "https"
        elif db_field.name == "jwks":
            kwargs["form_class"] = KeySetField
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if "secret_name" in form.base_fields:
            field = form.base_fields["secret_name"]
            names = ", ".join(sorted(conf.current().jwt_secrets)) or gettext("none")
            known = gettext("In the settings now: %(names)s.") % {"names": names}
            field.help_text = f"{field.help_text} {known}"
        return form

    @admin.display(description=_("algorithms"))
    def algorithm_words(self, issuer: JwtIssuer) -> str:
        return ", ".join(listed(issuer.algorithms))

    @admin.display(description=_("audiences"))
    def audience_words(self, issuer: JwtIssuer) -> str:
        return ", ".join(listed(issuer.audiences))


SCREENS = {JwtIssuer: JwtIssuerAdmin}
