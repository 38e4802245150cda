"""A button that accepts the spelling which an error suggests. No script is needed.

A form that refuses a field offers a button beside it. The button sends the
whole form again, with the refused text and the suggested one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..models import PolicyModel
from .forms import PolicyForm
from .pick_lists import OTHERS, sent_words

ACCEPT = "accept-"
"""Prefix of a button's name; the name of its field follows."""


class SuggestionForm(PolicyForm):
    """A form that offers the accepted spelling of a refused value."""

    def full_clean(self) -> None:
        super().full_clean()
        if not self.is_bound or not self.errors:
            return
        for field, instead in suggestions_for(self.instance):
            if field in self.errors:
                name = self.add_prefix(field)
                button = _button(name, sent_words(self.data, name), instead)
                self.add_error(field, ValidationError(button, "did_you_mean"))


class SuggestionsMixin:
    """Mixin of a screen whose forms offer suggestions."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        request.POST = apply_suggestion(request.POST)  # type: ignore[assignment]
        return super().changeform_view(request, *args, **kwargs)  # type: ignore[misc]


def suggestions_for(row: PolicyModel) -> Iterator[tuple[str, str]]:
    """Yield each field with its text after all suggestions are applied; lists one item per line.

    What no suggestion can mend is left out, and nothing stands twice.
    """
    instead: dict[str, dict[Any, str | None]] = {}
    for problem in row.problems():
        instead.setdefault(problem.field, {})[problem.value] = problem.suggestion
    for field, by_value in instead.items():
        if not any(by_value.values()):
            continue
        value: list[str] | str = getattr(row, field)
        items = value if isinstance(value, list) else [value]
        mended = [by_value.get(item, item) for item in items]
        yield field, "\n".join(dict.fromkeys(item for item in mended if item))


def apply_suggestion(post: QueryDict) -> QueryDict:
    """Return the POST data with the accepted spelling in its field.

    A field that was edited since is kept.
    """
    changed = post
    for name in [name for name in post if name.startswith(ACCEPT)]:
        field = name.removeprefix(ACCEPT)
        typed, instead = _offer(str(post[name]))
        if typed is not None and typed.splitlines() == sent_words(post, field).splitlines():
            changed = changed.copy() if changed is post else changed
            changed[field] = instead
            changed.pop(f"{field}{OTHERS}", None)
    return changed


def _button(name: str, typed: str, instead: str) -> SafeString:
    return format_html(
        '{} <button type="submit" class="button" name="{}{}" value="{}">{}</button>',
        _("Did you mean %(spelling)s?") % {"spelling": ", ".join(instead.splitlines())},
        ACCEPT,
        name,
        json.dumps([typed, instead]),
        _("Accept and save"),
    )


def _offer(value: str) -> tuple[str | None, str]:
    try:
        typed, instead = json.loads(value)
    except (ValueError, TypeError, RecursionError):
        return None, ""
    both = isinstance(typed, str) and isinstance(instead, str)
    return (typed, instead) if both else (None, "")
