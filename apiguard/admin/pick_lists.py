"""A list of words as check boxes, with a box for words that are not among them.

Works without JavaScript. Words that the row has come first and in their order,
so that a form that nobody changed sends the list as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from .. import conf
from ..models import ApiKey, Route

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MEDIA_TYPES = (
    "application/json",
    "application/*+json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "text/plain",
    "text/csv",
    "image/*",
)
# Of more scopes than this a page of boxes helps nobody.
MOST_SCOPES = 50
OTHERS = "-other"
"""Ends the name of the box for other words."""


def known_scopes() -> list[str]:
    """Return the scopes of the settings, else those that routes and keys have."""
    registered = conf.current().scopes
    if registered is not None:
        return sorted(registered)[:MOST_SCOPES]
    lists: list[Any] = [
        *Route.objects.values_list("required_scopes", flat=True),
        *ApiKey.objects.order_by("-pk").values_list("scopes", flat=True)[:200],
    ]
    found = {scope for scopes in lists if isinstance(scopes, list) for scope in scopes}
    return sorted(scope for scope in found if isinstance(scope, str))[:MOST_SCOPES]


class PickList(forms.Widget):
    """Check boxes for the usual words, a text box for others; sends one word per line."""

    use_fieldset = True

    def __init__(self, words: Callable[[], Iterable[str]], attrs: Any = None) -> None:
        super().__init__(attrs)
        self.words = words

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        """Return all words, one per line; a single text with several lines is one too."""
        return sent_words(data, name)

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False

    def id_for_label(self, id_: str) -> str:
        return ""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        held = list(value) if isinstance(value, list) else str(value or "").splitlines()
        held = [str(word) for word in held if word]
        identifier = (attrs or {}).get("id", f"id_{name}")
        return format_html(
            '<div class="apiguard-pick-list"><div class="apiguard-picks">{}</div>'
            '<label class="apiguard-other">{} '
            '<input type="text" name="{}{}" id="{}{}" class="vTextField"></label></div>',
            format_html_join("", *_boxes(identifier, name, held, self.words())),
            _("Others, separated by spaces:"),
            name,
            OTHERS,
            identifier,
            OTHERS,
        )


def sent_words(data: Any, name: str) -> str:
    """Return the words that a form sent, one per line."""
    sent = data.getlist(name) if hasattr(data, "getlist") else [data.get(name) or ""]
    others = str(data.get(f"{name}{OTHERS}") or "").split()
    return "\n".join([*(str(text) for text in sent if text), *others])


def _boxes(
    identifier: str, name: str, held: list[str], words: Iterable[str]
) -> tuple[str, Iterator[tuple[Any, ...]]]:
    template = (
        '<label><input type="checkbox" name="{}" value="{}" id="{}_{}"{}> <code>{}</code></label> '
    )
    every = list(dict.fromkeys([*held, *words]))
    checked = SafeString(" checked")
    return template, (
        (name, word, identifier, number, checked if word in held else "", word)
        for number, word in enumerate(every)
    )


PICKED: dict[str, Callable[[], Iterable[str]]] = {
    "methods": lambda: METHODS,
    "allowed_methods": lambda: METHODS,
    "accepts": lambda: MEDIA_TYPES,
    "produces": lambda: MEDIA_TYPES[:2],
    "required_scopes": known_scopes,
}
"""The columns that are picked, and the words to pick from."""


class PickListsMixin:
    """Mixin of a screen that shows its lists of words as check boxes."""

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name in PICKED:
            kwargs["widget"] = PickList(PICKED[db_field.name])
        return super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
