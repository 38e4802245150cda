"""Limit overrides in the form of a client: another amount, and for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import Limit, LimitOverride
from ..telemetry.formatting import local_time
from .base import PolicyInline
from .client_support import has_expired
from .display import DASH, badge, format_rate
from .edit_merge import MergeFormSet
from .forms import PolicyForm

if TYPE_CHECKING:
    LimitChoiceBase = forms.ModelChoiceField[Limit]
else:
    LimitChoiceBase = forms.ModelChoiceField

DAY, WEEK, FOR_GOOD, UNTIL = "day", "week", "for_good", "until"
DURATIONS = {DAY: timedelta(days=1), WEEK: timedelta(days=7)}
DURATION_CHOICES = (
    ("", _("Choose…")),
    (DAY, _("1 day")),
    (WEEK, _("1 week")),
    (FOR_GOOD, _("For good")),
    (UNTIL, _("Until the date")),
)
# A date alone is meant with its whole day.
END_OF_DAY = time(23, 59, 59)
WRONG_DATE = _("Write a date such as 2026-12-31, or 2026-12-31 18:00.")


class LimitChoice(LimitChoiceBase):
    """Labels a limit with its tier and rate: a name such as per-minute occurs in every tier."""

    def label_from_instance(self, obj: Limit) -> str:
        return f"{obj.tier.name}: {obj.name} ({format_rate(obj)})"


class DurationWidget(forms.MultiWidget):
    """A choice of durations, and a date for the one that needs it."""

    # Of a new row nothing is chosen; a stored row without an end lasts for good.
    is_new = True

    def __init__(self) -> None:
        date = forms.TextInput(
            attrs={"placeholder": "2026-12-31", "size": 16, "aria-label": _("date")}
        )
        chosen = forms.Select(choices=DURATION_CHOICES, attrs={"aria-label": _("how long")})
        super().__init__({"lasts": chosen, "date": date})

    def decompress(self, value: datetime | None) -> list[str]:
        if value is None:
            return ["" if self.is_new else FOR_GOOD, ""]
        return [UNTIL, _format(value)]


class DurationField(forms.MultiValueField):
    """The end of an override; ``None`` where it lasts for good, which must be chosen."""

    widget = DurationWidget

    def __init__(self, **kwargs: Any) -> None:
        fields = (
            forms.ChoiceField(choices=DURATION_CHOICES, required=False),
            forms.CharField(max_length=40, required=False),
        )
        kwargs.pop("form_class", None)
        super().__init__(fields, require_all_fields=False, **{**kwargs, "required": False})

    def clean(self, value: Any) -> datetime | None:
        """Return the end.

        Raises:
            ValidationError: nothing is chosen, or the date is no date.
        """
        if isinstance(value, Sequence) and not any(value):
            raise ValidationError(_("Choose how long the override lasts."), code="required")
        until: datetime | None = super().clean(value)
        return until

    def compress(self, data_list: Any) -> datetime | None:
        lasts, date = data_list
        if lasts in DURATIONS:
            return timezone.now().replace(microsecond=0) + DURATIONS[lasts]
        if lasts == FOR_GOOD:
            return None
        # A person who typed a date and chose nothing means the date.
        return _parse(date)


def _format(at: datetime) -> str:
    local = local_time(at)
    if local.time().replace(microsecond=0) == END_OF_DAY:
        return f"{local:%Y-%m-%d}"
    return f"{local:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def _parse(text: str) -> datetime:
    try:
        day = parse_date(text.strip())
        at = parse_datetime(text.strip()) if day is None else datetime.combine(day, END_OF_DAY)
        if at is None:
            raise ValueError
        # The year 1 and the year 9999 have moments that no other time zone has.
        return forms.utils.from_current_timezone(at) if timezone.is_naive(at) else at
    except (ValueError, OverflowError) as error:
        raise ValidationError(WRONG_DATE, code="invalid") from error


class OverrideForm(PolicyForm):
    """The form of a limit override."""

    until = DurationField(label=_("lasts"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        widget: Any = self.fields["until"].widget
        widget.is_new = self.instance.pk is None

    def clean_until(self) -> datetime | None:
        """Refuse an override that has ended before it is saved, or whose end is given twice."""
        until: datetime | None = self.cleaned_data["until"]
        field: Any = self.fields["until"]
        lasts, date = field.widget.value_from_datadict(self.data, {}, self.add_prefix("until"))
        shown = field.widget.decompress(self.get_initial_for_field(field, "until"))
        # The date of a row that now gets another duration may stay where it is.
        if lasts not in ("", UNTIL) and date and date != shown[1]:
            raise forms.ValidationError(_("Choose “Until the date”, or delete the date."))
        if until is not None and "until" in self.changed_data and until <= timezone.now():
            raise forms.ValidationError(_("This time has passed, so the override has no effect."))
        return until


class OverrideFormSet(MergeFormSet):
    """The overrides of a client; a new one is of a limit of the client's tier."""

    def clean(self) -> None:
        super().clean()
        for form in self.forms:
            given: Mapping[str, Any] = getattr(form, "cleaned_data", {})
            limit = given.get("limit")
            if limit is None or given.get("DELETE") or "limit" not in form.changed_data:
                continue
            if limit.tier_id != self.instance.tier_id:
                form.add_error(
                    "limit", _("The tier that is chosen above does not have this limit.")
                )


class OverrideInline(PolicyInline):
    """Amounts of this client that replace those of its tier's limits."""

    model = LimitOverride
    form = OverrideForm
    formset = OverrideFormSet
    fields = ("limit", "amount", "until", "reason", "effect")
    readonly_fields = ("effect",)
    # Without scripts there is no "add another".
    extra = 1

    @admin.display(description=_("effect"))
    def effect(self, override: LimitOverride) -> SafeString | str:
        """Return whether the override is in force."""
        if override._state.adding:
            return DASH
        if has_expired(override):
            return badge(gettext("expired"), "warn")
        return badge(gettext("in force"), "good")

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "limit":
            kwargs |= {"form_class": LimitChoice, "queryset": Limit.objects.select_related("tier")}
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        field = formset.form.base_fields.get("limit")
        if obj is not None and obj.pk is not None and field is not None:
            # An override outlives a change of tier; its row must stay a choice.
            mine = Q(tier=obj.tier_id) | Q(pk__in=obj.overrides.values("limit"))
            field.queryset = field.queryset.filter(mine)
        return formset
