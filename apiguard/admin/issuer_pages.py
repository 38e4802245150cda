"""Two pages beside an issuer's form: fill it in from the provider, and try a token.

Both take an example token by POST. It is judged and forgotten: no row, message,
log, session or URL holds it, and no page repeats it. The keys to judge it by are
those that are held; trying a token fetches nothing.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from ..errors import PolicyError
from ..models import JwtIssuer
from ..policy.compilers.issuers import issuer_policy
from ..policy.discovery import Provider, discover
from ..rules.jwt import FAMILIES, MAX_TOKEN_LENGTH, TokenRefused, claim_at, parse
from ..rules.jwt_explain import Explanation, Finding, explain_token
from ..rules.openid import suggest_fields, suggest_required
from ..rules.scopes import split_scope_claim
from .base import PolicyAdmin
from .keys.pages import uncached
from .token_problems import PROBLEM_WORDS

if TYPE_CHECKING:
    Base = PolicyAdmin
else:
    Base = object

_TIMES = ("exp", "nbf", "iat")
_UNSEEN = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}


class TokenForm(forms.Form):
    """A box for a token that no browser fills in, keeps or spell-checks elsewhere."""

    token = forms.CharField(
        label=_("Token"),
        max_length=2 * MAX_TOKEN_LENGTH,
        widget=forms.Textarea(attrs={"rows": 6, "cols": 70, "autofocus": True, **_UNSEEN}),
    )


class IssuerPagesMixin(Base):
    """The part of the issuer screen that these pages are."""

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                "discover/",
                self.admin_site.admin_view(self.discover_view),
                name="apiguard_jwtissuer_discover",
            ),
            path(
                "<path:object_id>/try/",
                self.admin_site.admin_view(self.try_view),
                name="apiguard_jwtissuer_try",
            ),
            *super().get_urls(),
        ]

    # -- from the provider ----------------------------------------------------------

    @method_decorator(sensitive_post_parameters("example_token"))
    def discover_view(self, request: HttpRequest) -> HttpResponse:
        """POST shows the form of a new issuer, filled in from its URL and an example token."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        fields = self._fields_of_example(request)
        typed = request.POST.get("provider_url", "").strip()
        if not typed and fields.get("key_source") != "secret_name":
            typed = fields.get("issuer", "")
        if typed:
            fields |= self._fields_of_provider(request, typed)
        elif not fields:
            self.message_user(request, _("Write the URL of an issuer."), messages.ERROR)
        shown = copy.copy(request)
        shown.method = "GET"
        shown.apiguard_suggested = fields  # type: ignore[attr-defined]
        address = reverse("admin:apiguard_jwtissuer_add", current_app=self.admin_site.name)
        return uncached(self.changeform_view(shown, form_url=address))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        suggested: dict[str, Any] = getattr(request, "apiguard_suggested", {})
        return {**super().get_changeform_initial_data(request), **suggested}

    def _fields_of_provider(self, request: HttpRequest, url: str) -> dict[str, Any]:
        try:
            provider = discover(url)
        except PolicyError as error:
            text = gettext("Nothing was filled in from %(url)s. %(why)s") % {
                "url": url[:200],
                "why": error,
            }
            self.message_user(request, text, messages.ERROR)
            return {}
        self._report_provider(request, url, provider)
        return {
            "issuer": provider.issuer,
            "algorithms": list(provider.algorithms),
            "key_source": "jwks_url",
            "jwks_url": provider.jwks_url,
        }

    def _report_provider(self, request: HttpRequest, url: str, provider: Provider) -> None:
        text = ngettext(
            "Read from %(iss)s: %(count)d key. Check the fields, name the audiences, and save.",
            "Read from %(iss)s: %(count)d keys. Check the fields, name the audiences, and save.",
            len(provider.keys),
        ) % {"iss": provider.issuer, "count": len(provider.keys)}
        self.message_user(request, text, messages.SUCCESS)
        if not url.startswith(provider.issuer.rstrip("/")):
            text = gettext(
                "The issuer calls itself %(iss)s, which is not the URL that you wrote. Tokens are "
                "compared with what it calls itself."
            ) % {"iss": provider.issuer}
            self.message_user(request, text, messages.WARNING)

    @sensitive_variables()
    def _fields_of_example(self, request: HttpRequest) -> dict[str, Any]:
        """Return fields that fit an example token; nobody has verified it."""
        text = request.POST.get("example_token", "").strip()
        if not text:
            return {}
        try:
            parsed = parse(text)
        except TokenRefused as refused:
            words = gettext("The example token: %(why)s") % {"why": PROBLEM_WORDS[refused.problem]}
            self.message_user(request, words, messages.ERROR)
            return {}
        issuer = parsed.claims.get("iss")
        fields: dict[str, Any] = {"issuer": issuer} if isinstance(issuer, str) else {}
        if parsed.algorithm in FAMILIES["HS"]:  # Such issuers publish no keys.
            fields |= {"algorithms": [parsed.algorithm], "key_source": "secret_name"}
        return {**fields, **suggest_fields(parsed.claims)}

    # -- try a token ----------------------------------------------------------------

    @method_decorator(sensitive_post_parameters("token"))
    @sensitive_variables()
    def try_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET shows a box for a token, POST how this issuer's rules judge it."""
        row = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        if row is None:
            raise Http404
        sent = request.method == "POST"
        form = TokenForm(request.POST if sent else None)
        problems = row.problems()
        explanation = None
        if sent and form.is_valid() and not problems:
            policy = issuer_policy(row)
            text = form.cleaned_data["token"].strip().removeprefix("Bearer ").strip()
            explanation = explain_token(text, policy.rules, policy.keys, time.time())
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Try a token of %(issuer)s") % {"issuer": row},
            "opts": self.opts,
            "media": self.media,
            "issuer": row,
            "problems": problems,
            # A form that is shown again would repeat the token.
            "box": TokenForm(),
            "errors": list(form.errors.get("token", ())) if sent else [],
            **(_answer(row, explanation) if explanation else {}),
        }
        page = "admin/apiguard/jwtissuer/try.html"
        return uncached(TemplateResponse(request, page, context))


def _answer(row: JwtIssuer, explanation: Explanation) -> dict[str, Any]:
    """Return what the page shows of a judged token."""
    suggested = suggest_required(explanation.claims)
    missing = {name: value for name, value in suggested.items() if name not in row.required_claims}
    return {
        "rows": [_shown(finding) for finding in _by_subject(explanation.findings)],
        "accepted": explanation.problem is None,
        "is_signed": explanation.is_signed,
        "is_readable": bool(explanation.header),
        "enabled": row.enabled,
        "suggested": json.dumps({**row.required_claims, **missing}, indent=2) if missing else "",
        "subject": explanation.claims.get("sub"),
        "scopes": sorted(split_scope_claim(claim_at(explanation.claims, row.scope_claim))),
    }


def _by_subject(findings: Iterable[Finding]) -> list[Finding]:
    """Return one finding for each subject: the first that is a problem, if one is."""
    merged: dict[tuple[str, bool], Finding] = {}
    for finding in findings:
        key = (finding.subject, finding.in_header)
        if key not in merged or (finding.problem and not merged[key].problem):
            merged[key] = finding
    return list(merged.values())


def _shown(finding: Finding) -> dict[str, Any]:
    why = PROBLEM_WORDS[finding.problem] if finding.problem else ""
    return {
        "subject": finding.subject,
        "in_header": finding.in_header,
        "value": _as_text(finding),
        "why": why,
    }


def _as_text(finding: Finding) -> str:
    value = finding.value
    if value is None:
        return ""
    if finding.subject in _TIMES and isinstance(value, int | float):
        try:
            moment = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        except (ValueError, OverflowError, OSError):
            return str(value)
        return f"{value} ({moment})"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}…"
