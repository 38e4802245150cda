"""Driving the desk as a browser without scripts would: read a form, fill in, send."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from django.contrib.sessions.models import Session
from django.core import serializers
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class _Form(HTMLParser):
    """What a browser would send of the forms whose method is POST, unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, Any] = {}
        self._inside = False
        self._select: str | None = None
        self._textarea: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._inside = given.get("method") == "post" and given.get("id") != "logout-form"
        if not self._inside:
            return
        name, kind = given.get("name"), given.get("type")
        if tag == "select":
            self._select = name
        elif tag == "option" and self._select is not None and "selected" in given:
            self.fields[self._select] = given.get("value") or ""
        elif tag == "textarea":
            self._textarea, self._text = name, ""
        elif tag == "input" and name and kind not in ("submit", "checkbox", "radio"):
            self.fields[name] = given.get("value") or ""
        elif tag == "input" and name and kind in ("checkbox", "radio") and "checked" in given:
            value, known = given.get("value") or "on", self.fields.get(name)
            several = kind == "checkbox" and known is not None
            self.fields[name] = [*_as_list(known), value] if several else value

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "select":
            self._select = None
        elif tag == "textarea" and self._textarea:
            # A browser drops the first line break after the tag.
            self.fields[self._textarea] = self._text.removeprefix("\r\n").removeprefix("\n")
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self._text += data


def fields_of(page: str) -> dict[str, Any]:
    """Name -> value of everything that the page's form would send."""
    form = _Form()
    form.feed(page)
    if form.fields.get("change_reason") == "":
        form.fields["change_reason"] = "a test"  # Forms of keys want one.
    return {name: value for name, value in form.fields.items() if "__prefix__" not in name}


def url(name: str, *args: Any) -> str:
    return reverse(f"admin:apiguard_{name}", args=args)


def fill_in(browser: Browser, address: str, *, confirm: bool = True, **typed: Any) -> Any:
    """Open the form at ``address``, change what is typed, send it, follow nothing.

    Effects that wait for a confirmation are confirmed, unless that is what is tested.
    """
    page = browser.get(address)
    assert page.status_code == 200
    data = {**fields_of(page.content.decode()), **typed}
    sent = {name: value for name, value in data.items() if value is not None}
    answer = browser.post(address, sent)
    return confirmed(browser, address, sent, answer) if confirm else answer


def confirmed(browser: Browser, address: str, sent: dict[str, Any], answer: Any) -> Any:
    """Tick the box of a page that shows effects, and send the form as it was sent before."""
    confirmation = (getattr(answer, "context", None) or {}).get("confirmation")
    if answer.status_code != 200 or confirmation is None or not confirmation.texts:
        return answer
    return browser.post(address, {**sent, confirmation.name: confirmation.digest})


def errors_of(response: Any) -> str:
    """All error lists of a page that shows its form again."""
    assert response.status_code == 200, response
    form = response.context["adminform"].form
    inlines = [inline.formset for inline in response.context["inline_admin_formsets"]]
    found = [str(form.errors), *(str(formset.errors) for formset in inlines)]
    return "\n".join([*found, *(str(formset.non_form_errors()) for formset in inlines)])


def everything_stored() -> str:
    """Every row of every table, as text; sessions decoded."""
    texts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            texts += [str(row) for row in cursor.fetchall()]
    texts += [str(session.get_decoded()) for session in Session.objects.all()]
    return "\n".join([*texts, serializers.serialize("json", Session.objects.all())])
