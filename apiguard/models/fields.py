"""Fields of policy rows: path prefixes, lists of strings, and references that are checked
in the database that policy is written to."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from datetime import MAXYEAR, MINYEAR, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models, router
from django.utils.translation import gettext_lazy as _

from ..errors import PolicyError
from ..rules.networks import parse_network
from ..rules.paths import normalise_prefix

if TYPE_CHECKING:
    _CharField = models.CharField[str, str]
    # The plugin of django-stubs knows the type of a reference by this class alone.
    ForeignKey = models.ForeignKey
else:
    _CharField = models.CharField

    class ForeignKey(models.ForeignKey):
        """A reference that is validated in the database that its target is written to.

        Django validates it where a router sends reads. A replica may lag, and does
        not see the open transaction: a row made a line earlier "is not a valid choice".
        """

        def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
            name, _path, args, kwargs = super().deconstruct()
            return name, "django.db.models.ForeignKey", args, kwargs

        def formfield(self, *, using: str | None = None, **kwargs: Any) -> forms.Field | None:
            using = using or router.db_for_write(self.remote_field.model)
            return super().formfield(using=using, **kwargs)

        def validate(self, value: Any, model_instance: models.Model) -> None:
            models.Field.validate(self, value, model_instance)
            target = self.remote_field.model
            if value is None:
                return
            rows = target._base_manager.using(router.db_for_write(target, instance=model_instance))
            if not rows.filter(**{self.remote_field.field_name: value}).exists():
                params = {"model": target._meta.verbose_name, "pk": value, "value": value}
                params["field"] = self.remote_field.field_name
                raise ValidationError(self.error_messages["invalid"], "invalid", params)


class _CanonicalField(_CharField):
    """A text that is kept and looked up in its canonical form."""

    def _rule(self, text: str) -> str:
        raise NotImplementedError

    def _canonical(self, value: Any) -> Any:
        try:
            return self._rule(value) if isinstance(value, str) else value
        except PolicyError:
            return value  # Said by the row's own problems(), with a reason.

    def to_python(self, value: Any) -> Any:
        return self._canonical(super().to_python(value))

    def get_prep_value(self, value: Any) -> Any:
        return self._canonical(super().get_prep_value(value))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = self._canonical(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value


class PathPrefixField(_CanonicalField):
    """A path prefix; "/api" is "/api/"."""

    def _rule(self, text: str) -> str:
        return normalise_prefix(text)


class NetworkField(_CanonicalField):
    """A network or an address; "192.0.2.7" is "192.0.2.7/32"."""

    def _rule(self, text: str) -> str:
        return str(parse_network(text))


class LinesField(forms.CharField):
    """One string per line; commas separate too where no member may hold one."""

    widget = forms.Textarea

    def __init__(self, *, split_commas: bool = True, **kwargs: Any) -> None:
        kwargs.pop("encoder", None)
        kwargs.pop("decoder", None)
        self.split_commas = split_commas
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(str(item) for item in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        if self.split_commas:
            text = text.replace(",", "\n")
        lines = (line.strip() for line in text.splitlines())
        return list(dict.fromkeys(line for line in lines if line))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(self.prepare_value(initial)) != self.to_python(data))


class StringListField(models.JSONField):
    """A JSON list of strings, edited one per line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("default", list)
        kwargs.setdefault("blank", True)
        super().__init__(*args, **kwargs)

    def formfield(self, **kwargs: Any) -> Any:
        widget = forms.Textarea(attrs={"rows": 4, "cols": 60})
        return super().formfield(**{"form_class": LinesField, "widget": widget, **kwargs})


class UnitsFormField(forms.CharField):
    """Amounts of units as text, such as "1000 tokens, 5000 content-bytes"."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("encoder", None)
        kwargs.pop("decoder", None)
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return ", ".join(f"{amount} {unit}" for unit, amount in value.items())

    def to_python(self, value: Any) -> Any:
        parts = [part.strip() for part in _COMMA.split(super().to_python(value) or "")]
        units: dict[str, int] = {}
        for part in filter(None, parts):
            match = _AMOUNT_OF_UNIT.fullmatch(part)
            if match is None or match["unit"] in units:
                raise ValidationError(
                    _("%(part)s: write an amount and a unit once, such as 1000 tokens."),
                    "bad_units",
                    {"part": part},
                )
            units[match["unit"]] = int(match["amount"].replace(",", ""))
        return units

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(self.prepare_value(initial)) != self.to_python(data))
        except ValidationError:
            return True


# Between two amounts; not that of "1,000 tokens".
_COMMA = re.compile(r",(?!\d{3}\b)|\n")
_AMOUNT_OF_UNIT = re.compile(r"(?P<amount>\d[\d,]{0,15})\s+(?P<unit>\S{1,100})", re.ASCII)


class UnitsField(models.JSONField):
    """A JSON object of amounts by unit, edited as text."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("default", dict)
        kwargs.setdefault("blank", True)
        super().__init__(*args, **kwargs)

    def formfield(self, **kwargs: Any) -> Any:
        widget = forms.TextInput(attrs={"size": 40})
        return super().formfield(**{"form_class": UnitsFormField, "widget": widget, **kwargs})


# What the attribute of a field may hold; foreign keys and JSON hold anything.
_TYPES: tuple[tuple[type[models.Field[Any, Any]], type], ...] = (
    (models.BooleanField, bool),
    (models.IntegerField, int),
    (models.CharField, str),
    (models.TextField, str),
    (models.DateTimeField, datetime),
)


def type_problems(row: models.Model) -> list[PolicyError]:
    """Return values that are not of their field's type or choices, as raw SQL may leave them."""
    return list(_type_problems(row))


def _type_problems(row: models.Model) -> Iterator[PolicyError]:
    for field, wanted, choices in _typed_fields(type(row)):
        value = getattr(row, field.attname)
        if value is None and field.null:
            continue
        if type(value) is not wanted and (isinstance(value, bool) or not isinstance(value, wanted)):
            reason = f"{value!r} is not a value of this field."
            yield PolicyError("wrong_type", value, reason, "Save the row anew.", field=field.name)
        elif choices and value not in choices and (value or not field.blank):
            hint = f"Write one of {', '.join(map(str, choices))}."
            reason = f"{value!r} is not one of the choices."
            yield PolicyError("unknown_choice", value, reason, hint, field=field.name)


# Many thousand rows have the same values.
@functools.cache
def _typed_fields(
    model: type[models.Model],
) -> tuple[tuple[models.Field[Any, Any], type, dict[Any, Any]], ...]:
    """Return the fields whose type is known, with that type and their choices."""
    kinds = [
        (field, next((type_ for kind, type_ in _TYPES if isinstance(field, kind)), None))
        for field in model._meta.concrete_fields
        if not field.primary_key
    ]
    return tuple((field, kind, dict(field.flatchoices)) for field, kind in kinds if kind)


def moment_problems(row: models.Model) -> Iterator[PolicyError]:
    """Times so early or late that some time zones cannot write them: no page could show them."""
    for field in row._meta.concrete_fields:
        at = getattr(row, field.attname) if isinstance(field, models.DateTimeField) else None
        if isinstance(at, datetime) and not MINYEAR < at.year < MAXYEAR:
            hint = f"Write a year before {MAXYEAR}"
            hint += ", or leave it empty: for good." if field.null else "."
            reason = "This time cannot be shown in every time zone."
            yield PolicyError("out_of_range", at, reason, hint, field=field.name)


def number_problem(row: models.Model, field: str, least: int, most: int) -> list[PolicyError]:
    """Return what is wrong with a number that has to lie between ``least`` and ``most``."""
    value = getattr(row, field)
    if value is None or least <= value <= most:
        return []
    hint = f"Write {least:,} to {most:,}."
    return [PolicyError("out_of_range", value, f"{value:,} is out of range.", hint, field=field)]


def list_problems(
    row: models.Model, field: str, rule: Callable[[str], object]
) -> list[PolicyError]:
    """Return what ``rule`` says of every member of a ``StringListField``."""
    value = getattr(row, field)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return [
            PolicyError(
                "not_a_list",
                value,
                "This is not a list of strings.",
                'Write a JSON list, such as ["a", "b"].',
                field=field,
            )
        ]
    return [problem for item in value if (problem := rule_problem(field, rule, item)) is not None]


def rule_problem(
    field: str, rule: Callable[..., object], *args: Any, **kwargs: Any
) -> PolicyError | None:
    """Return what ``rule`` says of one value, as an error at ``field``."""
    try:
        rule(*args, **kwargs)
    except PolicyError as error:
        return error if error.field else error.at(field)
    return None
