"""Filters of the admin's templates: labels for tables on a narrow screen, and times.

On a narrow screen each row of a list is a card (see ``admin.css``), and the heads of
the columns are out of sight. So each cell names its column in ``data-label``. Django
writes the cells; it has no hook for their attributes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.contrib.admin.utils import label_for_field
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from ..admin.display import DASH
from ..telemetry.formatting import format_moment

register = template.Library()

_CELL = re.compile(r'<(td|th) class="((?:nowrap )?field-(\w+)[^"]*)"')


@register.filter
def label_results(html: str, changelist: Any) -> SafeString:
    """Return the table of a change list with the column's name at each cell."""
    admin = changelist.model_admin
    shown = [name for name in changelist.list_display if isinstance(name, str)]
    labels = {
        name: label_for_field(name, changelist.model, model_admin=admin)
        for name in shown
        if name != "action_checkbox"
    }
    return _with_labels(html, labels)


@register.filter
def label_inline(html: str, inline: Any) -> SafeString:
    """Return the table of an inline formset with the field's label at each cell."""
    labels = {field["name"]: field["label"] for field in inline.fields()}
    box = f'<td class="delete" data-label="{escape(_("Delete"))}"'
    return mark_safe(_with_labels(html, labels).replace('<td class="delete"', box))  # noqa: S308


def _with_labels(html: str, labels: Mapping[str, Any]) -> SafeString:
    def labelled(found: re.Match[str]) -> str:
        tag, names, name = found.groups()
        label = labels.get(name)
        extra = f' data-label="{escape(capfirst(str(label)))}"' if label else ""
        return f'<{tag} class="{names}"{extra}'

    return mark_safe(_CELL.sub(labelled, html))  # noqa: S308 - Django escaped it


@register.filter
def moment(at: datetime | None) -> str:
    """Return a time with seconds and its time zone; a dash for none."""
    return DASH if at is None else format_moment(at)
