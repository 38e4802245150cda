"""Whose key is this? A box for a text that was found somewhere.

What is pasted is compared and forgotten: it comes by POST, so that no URL, log
or history of a browser holds it, and no page repeats it.
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
    """A box that no browser fills in, keeps or spell-checks elsewhere."""

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
    """The part of the key screen that tells whose a key is."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.identify_view)
        return [path("identify/", view, name="apiguard_apikey_identify"), *super().get_urls()]

    @method_decorator(sensitive_post_parameters("text"))
    @sensitive_variables("form", "parts")
    def identify_view(self, request: HttpRequest) -> HttpResponse:
        """GET shows the box, POST the answer above an empty one."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        sent = request.method == "POST"
        form = IdentifyForm(request.POST if sent else None)
        found: list[dict[str, Any]] | None = None
        mistyped = False
        if sent and form.is_valid():
            parts, mistyped = _parts_in(form.cleaned_data["text"])
            found = [self._told(each) for each in identify(parts, timezone.now())]
        # A form that is shown again would repeat what was pasted.
        box = IdentifyForm()
        return uncached(
            self.page(
                request,
                "identify",
                _("Whose key is this?"),
                box=box,
                errors=list(form.errors.get("text", ())) if sent else [],
                found=found,
                mistyped=mistyped,
            )
        )

    def _told(self, found: Identified) -> dict[str, Any]:
        now = timezone.now()
        badge: SafeString | str = ""
        if found.key is not None and found.is_ours:
            badge = state_badge(found.key, now)
        return {"found": found, "key": found.key, "badge": badge}


@sensitive_variables("text", "parts")
def _parts_in(text: str) -> tuple[list[KeyParts], bool]:
    """The keys in a text, and whether something looks like one and has a wrong checksum."""
    namespace = conf.current().key_namespace
    data = text.encode("utf-8", "replace")
    parts = [each for _end, each in find(data, namespace)]
    whole = {each.text: each for each in parts if each is not None}
    return list(whole.values())[:MOST_KEYS], None in parts
