"""Pages about one key beside its form: the new key shown once, and a form sent twice.

The text of a new key is in the response to the form that created the key, and
nowhere else: no message, session, log or URL holds it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ... import conf
from ...models import ApiKey, Route
from ...models.state import write_alias
from ...rules.key_life import KeyState
from ...rules.keys import shown
from ..base import PolicyAdmin
from ..display import as_strings

if TYPE_CHECKING:
    Base = PolicyAdmin
else:
    Base = object


def uncached(response: HttpResponse) -> HttpResponse:
    """Set headers so that no cache keeps ``response`` and no other site gets its URL."""
    response["Cache-Control"] = "no-store"
    # Not no-referrer: forms of such a page, signing out among them, send Origin: null.
    response["Referrer-Policy"] = "same-origin"
    return response


def public_part(key: ApiKey) -> str:
    """Return the part of a key that may be shown."""
    return shown(conf.current().key_namespace, key.environment, key.key_id)


class Redacted:
    """Text for a template that does not appear in its ``repr``.

    Django's templates log their whole context, at level DEBUG, for every
    variable that is not in it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "…"


class KeyPageMixin(Base):
    """Mixin of the key screen with the pages that all actions share."""

    def page(
        self, request: HttpRequest, template: str, title: Any, *, status: int = 200, **more: Any
    ) -> TemplateResponse:
        """Return an admin page; ``template`` is a file name without folder and suffix."""
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "is_popup": "_popup" in request.POST or "_popup" in request.GET,
            "media": self.media,
            **more,
        }
        path = f"admin/apiguard/apikey/{template}.html"
        return TemplateResponse(request, path, context, status=status)

    @sensitive_variables("text", "response")
    def secret_page(
        self, request: HttpRequest, key: ApiKey, text: str, old: ApiKey | None = None
    ) -> HttpResponse:
        """Return the only response that holds the text of the key."""
        response = self.page(
            request,
            "created",
            _("Copy this key now"),
            key=key,
            text=Redacted(text),
            curl=Redacted(self._curl(request, key, text)),
            masked=public_part(key),
            header=conf.current().api_key_header,
            but=why_refused(key),
            old=old,
            old_masked=public_part(old) if old is not None else "",
        )
        return uncached(response)

    @sensitive_variables("text")
    def _curl(self, request: HttpRequest, key: ApiKey, text: str) -> str:
        """Return a command that tries the key, where the first route is that it may use."""
        routes = Route.objects.using(write_alias()).filter(access=Route.Access.CREDENTIALS)
        usable = [
            route.path_prefix
            for route in routes.exclude(mode=Route.Mode.OFF)
            if set(as_strings(route.required_scopes)) <= set(key.scopes)
        ]
        url = request.build_absolute_uri(usable[0] if usable else "/")
        header = conf.current().api_key_header
        return f"curl -i -H {shlex.quote(f'{header}: {text}')} {shlex.quote(url)}"

    def already_created_page(self, request: HttpRequest, key_pk: int | None) -> HttpResponse:
        """Return the page for a form that has created its key already."""
        key = ApiKey.objects.select_related("client").filter(pk=key_pk).first()
        masked = public_part(key) if key is not None else ""
        title = _("This key was created already")
        return self.page(request, "already_created", title, status=409, key=key, masked=masked)


def why_refused(key: ApiKey) -> str:
    """Return why requests with a new key are refused, and the remedy; "" for a valid key."""
    text = {
        KeyState.CLIENT_DISABLED: _(
            "Its client is not enabled, so the key is refused. Enable the client."
        ),
        KeyState.TEST_REFUSED: _("This site refuses test keys. Create a live one."),
        KeyState.NOT_YET_VALID: _("The key is refused until its start time."),
        KeyState.EXPIRED: _("The key has expired already. Create another one."),
        KeyState.BROKEN: _("Its client has an error, so the key is refused. Correct the client."),
    }
    return text.get(key.state(), "")
