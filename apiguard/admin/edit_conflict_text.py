"""The texts of an edit that met another one: stored values, buttons, who changed what.

Values are compared as JSON, as they stand in the signed field of the form. A choice is
sent with the digest of the value that it is about, so it is void if that changes again.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from ..models import PolicyChange, PolicyModel

SHOWN = "shown_values"
"""The name of the hidden field."""

KEEP, TAKE = "keep", "take"
SHOWN_LENGTH = 200
CHANGES_READ = 50


def encode_value(value: object) -> str:
    """Return a value of a form or a row as JSON."""
    if isinstance(value, models.Model):
        value = value.pk
    return json.dumps(value, cls=DjangoJSONEncoder, sort_keys=True)


def decode_value(row: PolicyModel, name: str, text: str) -> Any:
    """Return the value that ``encode_value`` was given, of a column or of another field."""
    value = json.loads(text)
    try:
        field = row._meta.get_field(name)
        return field.to_python(value) if isinstance(field, models.Field) else value
    except (FieldDoesNotExist, ValidationError):
        return value


def digest(text: str) -> str:
    """Return 16 hexadecimal digits that differ for different texts."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def shown_value(field: forms.Field, value: Any) -> str:
    """Return a stored value as text, shortened."""
    if isinstance(field, forms.ModelChoiceField):
        row = field.queryset.filter(pk=value).first() if field.queryset is not None else None
        text = str(row or value or "-")
    elif isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = "-" if value in (None, "") else str(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"


def choice_name(form: forms.BaseForm, name: str) -> str:
    """Return the name of the input that answers the question about a field."""
    return form.add_prefix(f"{name}-{SHOWN}")


def radio_buttons(name: str, text: str, keep: str, take: str) -> SafeString:
    """Return the two radio buttons that keep or take the value ``text``."""
    one = ' <label><input type="radio" name="{}" value="{} {}"> {}</label>'
    of_value = digest(text)
    return format_html(
        "{}{}",
        format_html(one, name, KEEP, of_value, keep),
        format_html(one, name, TAKE, of_value, take),
    )


def _is_old(change: PolicyChange) -> bool:
    return timezone.now() - change.at >= timedelta(minutes=1)


def describe_change(row: PolicyModel, pk: Any, columns: set[str] | None, label: str) -> str:
    """Return a sentence with the author and time of the last change; ``None``: the deletion."""
    action = PolicyChange.Action.DELETED if columns is None else PolicyChange.Action.CHANGED
    changes = PolicyChange.objects.filter(
        model=row._meta.label_lower, object_pk=str(pk), action=action
    )
    last = next(
        (
            change
            for change in changes[:CHANGES_READ]
            if columns is None or columns & set(change.after or {})
        ),
        None,
    )
    deleted = columns is None
    if last is None:
        return (
            _("This %s was deleted while you edited it.") % label
            if deleted
            else _("“%s” was changed while you edited it.") % label
        )
    named = {
        "label": label,
        "ago": timesince(last.at, depth=1) if _is_old(last) else _("less than a minute"),
        "name": last.actor_name or _("an unnamed program"),
    }
    if deleted:
        return _("This %(label)s was deleted %(ago)s ago by %(name)s.") % named
    return _("“%(label)s” was changed %(ago)s ago by %(name)s.") % named
