"""Fields that say what policy rows mean: path prefixes and lists of strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.db import models

from ..errors import PathError, PolicyError
from ..rules.paths import normalise_prefix

if TYPE_CHECKING:
    _CharField = models.CharField[str, str]
else:
    _CharField = models.CharField


class PathPrefixField(_CharField):
    """A path prefix, kept and looked up in its canonical form ("/api" is "/api/")."""

    @staticmethod
    def _canonical(value: Any) -> Any:
        try:
            return normalise_prefix(value) if isinstance(value, str) else value
        except PathError:
            return value  # Said by the row's own problems(), with a reason.

    def to_python(self, value: Any) -> Any:
        return self._canonical(super().to_python(value))

    def get_prep_value(self, value: Any) -> Any:
        return self._canonical(super().get_prep_value(value))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = self._canonical(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value


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


def list_problems(
    row: models.Model, field: str, rule: Callable[[str], object]
) -> list[PolicyError]:
    """What ``rule`` says of every member of a ``StringListField``."""
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
    """What ``rule`` says of one value, as an error at ``field``."""
    try:
        rule(*args, **kwargs)
    except PolicyError as error:
        return error if error.field else error.at(field)
    return None
