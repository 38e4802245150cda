"""Three-way merge of an edit with edits that other people saved meanwhile.

A form and each inline row carry one signed hidden field with the values that
were shown. When the form is sent, a field that this person left alone takes the
stored value, whatever others have changed. A field that this person changed is
written, unless the stored value differs from the one that was shown: then the
form asks which of the two to keep. The edit holds the lock that every policy
change takes, so the stored values are those that it overwrites.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core import signing
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from ..models import PolicyChange, PolicyModel

if TYPE_CHECKING:
    MergeBase = forms.ModelForm[Any]
    FormSetBase = forms.BaseInlineFormSet[Any, Any, Any]
else:
    MergeBase = forms.ModelForm
    FormSetBase = forms.BaseInlineFormSet

SHOWN = "shown_values"
"""The name of the hidden field."""

SALT = "apiguard.admin.shown_values"
KEEP, TAKE = "keep", "take"
SHOWN_LENGTH = 200
CHANGES_READ = 50


class ShownField(forms.CharField):
    """The hidden field; it is no change of the row."""

    def __init__(self) -> None:
        super().__init__(widget=forms.HiddenInput, required=False)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class MergeForm(MergeBase):
    """A form that merges; ``shown_as`` maps columns to the field that stands for them."""

    shown_as: ClassVar[Mapping[str, str]] = {}
    coupled: ClassVar[frozenset[str]] = frozenset()
    """Fields that decide something together: a value of one approves the others as shown."""

    shown_values = ShownField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._base: dict[str, str] = {}
        # A row of an inline that another person deleted.
        self.is_gone = False
        self._gone_pk = ""
        if self.is_bound:
            self._read_base()

    def _read_base(self) -> None:
        """Make the values that were shown the initial ones, so that changes are this person's."""
        try:
            read = signing.loads(str(self.data.get(self.add_prefix(SHOWN), "")), salt=SALT)
            model, pk, base = read["model"], read["pk"], read["values"]
        except (signing.BadSignature, TypeError, KeyError):
            return
        if model != self.instance._meta.label_lower:
            return
        if self.instance.pk is None:
            self.is_gone, self._gone_pk = True, pk
        elif pk != str(self.instance.pk):
            return
        self._base = {name: text for name, text in base.items() if name in self.fields}
        for name, text in self._base.items():
            self.initial[name] = _decode(self.instance, name, text)

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        if field_name != SHOWN:
            return super().get_initial_for_field(field, field_name)
        if self.instance.pk is None:
            return ""
        token = {
            "model": self.instance._meta.label_lower,
            "pk": str(self.instance.pk),
            "values": self._values_now(),
        }
        return signing.dumps(token, salt=SALT, compress=True)

    def _values_now(self) -> dict[str, str]:
        return {
            name: _encode(self.get_initial_for_field(field, name))
            for name, field in self.fields.items()
            if name not in (SHOWN, "DELETE", self.instance._meta.pk.name)
        }

    def has_changed(self) -> bool:
        # A new hidden key would count as a change of a row that is gone.
        pk_name = self.instance._meta.pk.name
        return any(name != pk_name for name in self.changed_data)

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_gone:
            self._decide_gone()

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self._base and not self.is_gone:
            self._merge()
        return cleaned

    # -- fields that others changed ----------------------------------------------------

    def _merge(self) -> None:
        stored = type(self)(instance=self.instance, prefix=self.prefix)._values_now()
        for name in self.moved_fields(stored):
            field, text = self.fields[name], stored[name]
            sent = field.widget.value_from_datadict(self.data, self.files, self.add_prefix(name))
            now = _decode(self.instance, name, text)
            if name not in self.changed_data and not self._is_approved_as_shown(name):
                self._take(name)
            elif field.has_changed(now, sent):
                decided = self.data.get(_choice(self, name))
                if decided == f"{TAKE} {_digest(text)}":
                    self._take(name)
                elif decided != f"{KEEP} {_digest(text)}":
                    self.add_error(name, ValidationError(self._conflict_text(name, text), "moved"))

    def _is_approved_as_shown(self, name: str) -> bool:
        """Whether a change of this person was decided by the value of this field as shown."""
        return name in self.coupled and not self.coupled.isdisjoint(self.changed_data)

    def moved_fields(self, stored: Mapping[str, str] | None = None) -> list[str]:
        """Return the fields whose stored values are not those that were shown."""
        if stored is None:
            stored = type(self)(instance=self.instance, prefix=self.prefix)._values_now()
        return [name for name, text in self._base.items() if stored.get(name, text) != text]

    def _take(self, name: str) -> None:
        """Use the stored value of a field."""
        self.errors.pop(name, None)
        if name in {field.name for field in self.instance._meta.concrete_fields}:
            self.cleaned_data[name] = getattr(self.instance, name)
        else:
            self.cleaned_data[name] = None  # Such a field leaves its columns alone.

    def _conflict_text(self, name: str, text: str) -> SafeString:
        label = str(self.fields[name].label or name)
        value = _shown(self.fields[name], _decode(self.instance, name, text))
        return format_html(
            "{} {}{}",
            _change_text(self.instance, self.instance.pk, self._columns(name), label),
            _("The stored value is now: %s") % value,
            _radios(_choice(self, name), text, _("Keep mine"), _("Take the stored value")),
        )

    def _columns(self, name: str) -> set[str]:
        columns = {column for column, shown in self.shown_as.items() if shown == name} or {name}
        return columns | {f"{column}_id" for column in columns}

    def confirm_deletion(self) -> None:
        """Refuse to delete a row that others changed, until its box is ticked.

        Raises:
            ValidationError: the row is not the one that was shown.
        """
        if self.is_gone or self.instance.pk is None:
            return
        stored = type(self)(instance=_stored(self.instance), prefix=self.prefix)._values_now()
        moved = self.moved_fields(stored)
        value = f"{KEEP} {_digest(json.dumps(stored, sort_keys=True))}"
        if not moved or self.data.get(_choice(self, "deletion")) == value:
            return
        columns = {column for name in moved for column in self._columns(name)}
        text = format_html(
            '{} <label><input type="checkbox" name="{}" value="{}"> {}</label>',
            _change_text(self.instance, self.instance.pk, columns, str(self.instance)),
            _choice(self, "deletion"),
            value,
            _("Delete it anyway"),
        )
        raise ValidationError(text, "moved")

    # -- a row that another person deleted ------------------------------------------------

    @property
    def _gone_choice(self) -> str:
        return str(self.data.get(_choice(self, "row"), ""))

    @property
    def is_restored(self) -> bool:
        """Whether this person wants a deleted row back, with the values of this form."""
        # Django's form says that nothing has changed to a user who may not add rows.
        return (
            self.is_gone
            and self.has_changed()
            and self._gone_choice == f"{KEEP} {_digest(self._gone_pk)}"
        )

    def _decide_gone(self) -> None:
        self.errors.pop(str(self.instance._meta.pk.name), None)
        if self.is_restored:
            return
        decided = self._gone_choice == f"{TAKE} {_digest(self._gone_pk)}"
        if decided or not self.has_changed() or self.data.get(self.add_prefix("DELETE")):
            self.errors.clear()
            return
        label = str(self.instance._meta.verbose_name)
        radios = _radios(
            _choice(self, "row"), self._gone_pk, _("Add it again"), _("Leave it deleted")
        )
        deleted = _change_text(self.instance, self._gone_pk, None, label)
        self.add_error(None, ValidationError(format_html("{}{}", deleted, radios), "gone"))


class DeletionBox(forms.CheckboxInput):
    """A checkbox with a name: Django's table of inline rows has no label for each field."""

    def __init__(self) -> None:
        super().__init__(attrs={"aria-label": _("Delete")})


class MergeFormSet(FormSetBase):
    """An inline formset whose rows other people may have deleted."""

    deletion_widget = DeletionBox

    def get_queryset(self) -> Any:
        # The admin pairs rows and forms by position; others may have added or deleted rows.
        if self.is_bound and "forms" in self.__dict__:
            return [form.instance for form in self.initial_forms]
        return super().get_queryset()

    def clean(self) -> None:
        super().clean()
        for form in self.initial_forms:
            if isinstance(form, MergeForm) and form.data.get(form.add_prefix("DELETE")):
                form.confirm_deletion()

    def save(self, commit: bool = True) -> Any:
        saved = super().save(commit)
        for form in self.initial_forms:
            if getattr(form, "is_restored", False) and form not in self.deleted_forms:
                row = self.save_new(form, commit=commit)
                self.new_objects.append(row)
                saved.append(row)
        return saved


def with_shown(fieldsets: Any) -> Any:
    """Return admin ``fieldsets`` with the hidden field in the last of them."""
    *others, (title, options) = fieldsets
    return [*others, (title, {**options, "fields": (*options["fields"], SHOWN)})]


# -- values as text --------------------------------------------------------------------


def _stored(row: PolicyModel) -> PolicyModel:
    """Return the row as stored; validation has put the typed values into ``row``."""
    return type(row)._base_manager.get(pk=row.pk)


def _encode(value: object) -> str:
    if isinstance(value, models.Model):
        value = value.pk
    return json.dumps(value, cls=DjangoJSONEncoder, sort_keys=True)


def _decode(row: PolicyModel, name: str, text: str) -> Any:
    """Return the value that ``_encode`` was given, of a column or of another field."""
    value = json.loads(text)
    try:
        field = row._meta.get_field(name)
        return field.to_python(value) if isinstance(field, models.Field) else value
    except (FieldDoesNotExist, ValidationError):
        return value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _shown(field: forms.Field, value: Any) -> str:
    """Return a stored value as text, shortened."""
    if isinstance(field, forms.ModelChoiceField):
        row = field.queryset.filter(pk=value).first() if field.queryset is not None else None
        text = str(row or value or "-")
    elif isinstance(value, list):
        text = ", ".join(map(str, value))
    else:
        text = "-" if value in (None, "") else str(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"


def _choice(form: forms.BaseForm, name: str) -> str:
    return form.add_prefix(f"{name}-{SHOWN}")


def _radios(name: str, text: str, keep: str, take: str) -> SafeString:
    one = ' <label><input type="radio" name="{}" value="{} {}"> {}</label>'
    digest = _digest(text)
    return format_html(
        "{}{}",
        format_html(one, name, KEEP, digest, keep),
        format_html(one, name, TAKE, digest, take),
    )


def _is_old(change: PolicyChange) -> bool:
    return timezone.now() - change.at >= timedelta(minutes=1)


def _change_text(row: PolicyModel, pk: Any, columns: set[str] | None, label: str) -> str:
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
