"""Three-way merge of an edit with edits that other people saved meanwhile.

A form and each inline row carry one signed hidden field with the values that
were shown. When the form is sent, a field that this person left alone takes the
stored value, whatever others have changed. A field that this person changed is
written, unless the stored value differs from the one that was shown: then the
form asks which of the two to keep. The edit holds the lock that every policy
change takes, so the stored values are those that it overwrites.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core import signing
from django.core.exceptions import ValidationError
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..models import PolicyModel
from .edit_conflict_text import (
    KEEP,
    SHOWN,
    TAKE,
    choice_name,
    decode_value,
    describe_change,
    digest,
    encode_value,
    radio_buttons,
    shown_value,
)

if TYPE_CHECKING:
    MergeBase = forms.ModelForm[Any]
    FormSetBase = forms.BaseInlineFormSet[Any, Any, Any]
else:
    MergeBase = forms.ModelForm
    FormSetBase = forms.BaseInlineFormSet

SALT = "apiguard.admin.shown_values"


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
            self.initial[name] = decode_value(self.instance, name, text)

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
            name: encode_value(self.get_initial_for_field(field, name))
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
            now = decode_value(self.instance, name, text)
            if name not in self.changed_data and not self._is_approved_as_shown(name):
                self._take(name)
            elif field.has_changed(now, sent):
                decided = self.data.get(choice_name(self, name))
                if decided == f"{TAKE} {digest(text)}":
                    self._take(name)
                elif decided != f"{KEEP} {digest(text)}":
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
        value = shown_value(self.fields[name], decode_value(self.instance, name, text))
        return format_html(
            "{} {}{}",
            describe_change(self.instance, self.instance.pk, self._columns(name), label),
            _("The stored value is now: %s") % value,
            radio_buttons(
                choice_name(self, name), text, _("Keep mine"), _("Take the stored value")
            ),
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
        value = f"{KEEP} {digest(json.dumps(stored, sort_keys=True))}"
        if not moved or self.data.get(choice_name(self, "deletion")) == value:
            return
        columns = {column for name in moved for column in self._columns(name)}
        text = format_html(
            '{} <label><input type="checkbox" name="{}" value="{}"> {}</label>',
            describe_change(self.instance, self.instance.pk, columns, str(self.instance)),
            choice_name(self, "deletion"),
            value,
            _("Delete it anyway"),
        )
        raise ValidationError(text, "moved")

    # -- a row that another person deleted ------------------------------------------------

    @property
    def _gone_choice(self) -> str:
        return str(self.data.get(choice_name(self, "row"), ""))

    @property
    def is_restored(self) -> bool:
        """Whether this person wants a deleted row back, with the values of this form."""
        # Django's form says that nothing has changed to a user who may not add rows.
        return (
            self.is_gone
            and self.has_changed()
            and self._gone_choice == f"{KEEP} {digest(self._gone_pk)}"
        )

    def _decide_gone(self) -> None:
        self.errors.pop(str(self.instance._meta.pk.name), None)
        if self.is_restored:
            return
        decided = self._gone_choice == f"{TAKE} {digest(self._gone_pk)}"
        if decided or not self.has_changed() or self.data.get(self.add_prefix("DELETE")):
            self.errors.clear()
            return
        label = str(self.instance._meta.verbose_name)
        radios = radio_buttons(
            choice_name(self, "row"), self._gone_pk, _("Add it again"), _("Leave it deleted")
        )
        deleted = describe_change(self.instance, self._gone_pk, None, label)
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


def _stored(row: PolicyModel) -> PolicyModel:
    """Return the row as stored; validation has put the typed values into ``row``."""
    return type(row)._base_manager.get(pk=row.pk)
