"""JWT issuers: whose tokens are accepted, and by which keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from .. import conf
from ..errors import PolicyError
from ..models import JwtIssuer
from ..policy import jwks
from ..policy.compilers.issuers import keys_at_hand
from ..rules.key_set import KeyProblem, KeySet, VerifyingKey
from ..telemetry.formatting import format_moment
from .base import PolicyAdmin
from .display import DASH, as_strings
from .issuer_form import IssuerForm, KeySetField
from .issuer_pages import IssuerPagesMixin

DROPPED_WORDS = {
    KeyProblem.NOT_A_KEY: _("no key"),
    KeyProblem.SECRET: _("a secret"),
    KeyProblem.PRIVATE: _("a private key: the issuer should replace it"),
    KeyProblem.BAD_KID: _("its kid is not printable ASCII"),
    KeyProblem.NOT_FOR_SIGNING: _("not for signatures"),
    KeyProblem.OTHER_KIND: _("of another family"),
    KeyProblem.OTHER_ALGORITHM: _("for another algorithm"),
    KeyProblem.WEAK: _("too weak, or unusually large"),
    KeyProblem.UNREADABLE: _("cannot be read"),
}


class JwtIssuerAdmin(IssuerPagesMixin, PolicyAdmin):
    """The issuers of tokens, and what a token of each must hold."""

    form = IssuerForm
    about = _("A token is judged by the one issuer whose name is exactly its “iss”.")
    when_empty = _("There are no issuers, so no JSON Web Token is accepted.")
    list_display = ("name", "issuer_and_tokens", "tier", "enabled", "problems_marker")
    list_filter = ("enabled", "tier")
    list_select_related = ("tier",)
    search_fields = ("name", "issuer")
    readonly_fields = ("keys_held", "fetched")
    fieldsets = (
        (None, {"fields": ("name", "issuer", "audiences", "enabled")}),
        (
            _("Keys"),
            {
                "fields": (
                    *("algorithms", "key_source", "secret_name", "jwks", "jwks_url"),
                    *("keys_held", "fetched"),
                ),
                "description": _(
                    "Where the keys come from: exactly one of a named secret of the settings "
                    "(HS algorithms), public keys pasted here, or a URL that serves them."
                ),
            },
        ),
        (
            _("What a token must be"),
            {
                "fields": (
                    *("audience_claim", "required_claims"),
                    *("token_types", "leeway", "max_lifetime"),
                )
            },
        ),
        (
            _("What a token means"),
            {"fields": ("tier", "tier_claim", "scope_claim", "user_field")},
        ),
    )

    # -- the form -----------------------------------------------------------------

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
        form.user = request.user
        if "secret_name" in form.base_fields:
            field = form.base_fields["secret_name"]
            names = ", ".join(sorted(conf.current().jwt_secrets)) or gettext("none")
            known = gettext("In the settings now: %(names)s.") % {"names": names}
            field.help_text = f"{field.help_text} {known}"
        return form

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Sequence[Any], change: bool
    ) -> None:
        """Save, and fetch the keys of a new or changed URL once that is committed."""
        super().save_related(request, form, formsets, change)
        issuer = form.instance
        decided = {"jwks_url", "algorithms", "key_source"} & set(form.changed_data)
        if issuer.jwks_url and (decided or not change):
            using = router.db_for_write(self.model)
            fetch = partial(self._fetch_after_commit, request, issuer.pk, using)
            # Not before: a fetch takes up to three seconds, and the revision's row is locked.
            transaction.on_commit(fetch, using=using, robust=True)

    # -- fetching keys ------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.fetch_view)
        name = "apiguard_jwtissuer_fetch"
        return [path("<path:object_id>/fetch/", view, name=name), *super().get_urls()]

    def fetch_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """POST fetches the keys of an issuer now, and shows the result."""
        issuer = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, issuer):
            raise PermissionDenied
        if issuer is None:
            raise Http404
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self._fetch(request, issuer)
        change = "admin:apiguard_jwtissuer_change"
        return HttpResponseRedirect(
            reverse(change, args=[issuer.pk], current_app=self.admin_site.name)
        )

    def _fetch_after_commit(self, request: HttpRequest, pk: Any, using: str) -> None:
        issuer = self.model._default_manager.using(using).filter(pk=pk).first()
        if issuer is not None and not issuer.problems():
            self._fetch(request, issuer)

    def _fetch(self, request: HttpRequest, issuer: JwtIssuer) -> None:
        problems = issuer.problems()
        if problems or not issuer.jwks_url:
            text = str(problems[0]) if problems else gettext("This issuer has no URL of keys.")
            self.message_user(request, text, messages.ERROR)
            return
        try:
            keys = jwks.fetch_now(issuer)
        except PolicyError as error:
            text = gettext("The keys could not be fetched. %(why)s") % {"why": error}
            self.message_user(request, text, messages.ERROR)
            return
        text = ngettext("%d key was fetched.", "%d keys were fetched.", len(keys)) % len(keys)
        held = gettext("Held now: %(keys)s.") % {"keys": "; ".join(map(_words, keys.keys))}
        parts = (text, _dropped(keys), held)
        self.message_user(request, " ".join(filter(None, parts)), messages.SUCCESS)

    # -- columns ------------------------------------------------------------------

    @admin.display(description=_("keys held"))
    def keys_held(self, issuer: JwtIssuer) -> SafeString | str:
        """Name, kind, length and use of every key; never the key itself."""
        if issuer._state.adding or issuer.problems():
            return DASH
        keys = keys_at_hand(issuer)
        if not keys:
            return gettext("None yet: they are fetched with the first token, or by “Fetch now”.")
        lines = format_html_join("", "<li>{}</li>", ((_words(key),) for key in keys.keys))
        return format_html("<ul>{}</ul>{}", lines, _dropped(keys))

    @admin.display(description=_("keys fetched at"))
    def fetched(self, issuer: JwtIssuer) -> str:
        return DASH if issuer.fetched_at is None else format_moment(issuer.fetched_at)

    @admin.display(description=_("issuer and tokens"), ordering="issuer")
    def issuer_and_tokens(self, issuer: JwtIssuer) -> SafeString:
        """Return the "iss", and below it the algorithms and audiences of its tokens."""
        return format_html(
            '{}<span class="apiguard-line apiguard-quiet">{} · {}</span>',
            issuer.issuer,
            ", ".join(as_strings(issuer.algorithms)),
            gettext("for %s") % ", ".join(as_strings(issuer.audiences)),
        )


def _words(key: VerifyingKey) -> str:
    """Such as "2026-01: RSA, 2048 bits, for signatures"."""
    name = key.kid if key.kid is not None else gettext("without a name")
    # Keys for anything else are not held (RFC 7517 section 4.2).
    use = gettext("for signatures") if key.use else gettext("use not stated")
    bits = gettext("%(bits)d bits") % {"bits": key.bits}
    return f"{name}: {key.kind}, {bits}, {use}"


def _dropped(keys: KeySet) -> str:
    if not keys.dropped:
        return ""
    parts = (f"{kid or '?'} ({DROPPED_WORDS[problem]})" for kid, problem in keys.dropped)
    return gettext("Not used: %(keys)s.") % {"keys": ", ".join(parts)}


SCREENS = {JwtIssuer: JwtIssuerAdmin}
