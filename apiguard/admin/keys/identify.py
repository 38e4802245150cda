"""The page that identifies API keys in a pasted text.

The text is compared and not stored. It is sent by POST, so that no URL, log or
browser history holds it, and no page repeats it.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from ... import conf
from ...models import Identified, identify
from ...rules.keys import KeyParts, find
from .pages import KeyPageMixin, uncached
from .state import state_badge

MOST_TEXT = 20_000
MOST_KEYS = 20


class IdentifyForm(forms.Form):
    """A text box with autocompletion and spell checking switched off."""

    text = forms.CharField(
        label=_("Key, or text with keys in it"),
        max_length=MOST_TEXT,
        widget=forms.Textarea(
            attrs={
                "rows": 3,
                "cols": 70,
                "autocomplete": "off",
                "autocapitalize": "off",
                "spellcheck": "false",
                "autofocus": True,
            }
        ),
    )


class IdentifyMixin(KeyPageMixin):
    """Mixin of the key screen with the page that identifies keys."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.identify_view)
        return [path("identify/", view, name="apiguard_apikey_identify"), *super().get_urls()]

    @method_decorator(sensitive_post_parameters("text"))
    @sensitive_variables("form", "parts")
    def identify_view(self, request: HttpRequest) -> HttpResponse:
        """Show the form on GET; on POST the result above an empty form."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        sent = request.method == "POST"
        form = IdentifyForm(request.POST if sent else None)
        found: list[dict[str, Any]] | None = None
        mistyped = False
        if sent and form.is_valid():
            parts, mistyped = _parts_in(form.cleaned_data["text"])
            found = [self._context(each) for each in identify(parts, timezone.now())]
        # A bound form would repeat the pasted text.
        box = IdentifyForm()
        return uncached(
            self.page(
                request,
                "identify",
                _("Identify a key"),
                box=box,
                errors=list(form.errors.get("text", ())) if sent else [],
                found=found,
                mistyped=mistyped,
            )
        )

    def _context(self, found: Identified) -> dict[str, Any]:
        now = timezone.now()
        badge: SafeString | str = ""
        if found.key is not None and found.is_ours:
            badge = state_badge(found.key, now)
        return {"found": found, "key": found.key, "badge": badge}


@sensitive_variables("text", "parts")
def _parts_in(text: str) -> tuple[list[KeyParts], bool]:
    """Return the keys in a text, and whether a candidate has a wrong checksum."""
    namespace = conf.current().key_namespace
    data = text.encode("utf-8", "replace")
    parts = [each for _end, each in find(data, namespace)]
    whole = {each.text: each for each in parts if each is not None}
    return list(whole.values())[:MOST_KEYS], None in parts
