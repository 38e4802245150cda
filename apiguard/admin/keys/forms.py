"""The forms of the key screen: what may be decided about a key, and what may be changed later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from ... import conf
from ..forms import PolicyForm
from ..owner_permissions import SUPERUSER_CREATES_KEYS, may_create_keys
from . import form_tokens

if TYPE_CHECKING:
    FormBase = forms.Form
else:
    FormBase = object

FORM_EXPIRED = _(
    "This form is too old to create a key. It has been renewed: check the values and save again."
)
HOUR = 3600
GRACES = (
    (HOUR, _("1 hour")),
    (24 * HOUR, _("1 day")),
    (7 * 24 * HOUR, _("7 days")),
    (30 * 24 * HOUR, _("30 days")),
)


class KeyForm(PolicyForm):
    """What may be decided, and changed later, about a key."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        registry = conf.current().scopes
        if registry is not None and "scopes" in self.fields:
            self.fields["scopes"] = scope_choice(registry, self.instance.scopes)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        begins = self.cleaned_data.get("not_before", self.instance.not_before)
        ends = self.cleaned_data.get("expires_at")
        if begins and ends and ends <= begins:
            self.add_error("expires_at", _("The key would end before it begins."))
        return cleaned


def scope_choice(registry: frozenset[str], stored: object) -> forms.MultipleChoiceField:
    """The registered scopes to tick, and those that the row has besides."""
    others = [] if not isinstance(stored, list) else [str(scope) for scope in stored]
    choices = [(scope, scope) for scope in sorted(registry)]
    choices += [
        (scope, _("%(scope)s (not registered)") % {"scope": scope})
        for scope in others
        if scope not in registry
    ]
    return forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("What the key may do; none ticked: nothing that needs a scope."),
    )


def _form_token_field() -> forms.CharField:
    return forms.CharField(widget=forms.HiddenInput, required=False, max_length=200)


class SingleUseForm(FormBase):
    """Mixed into a form with a field ``form_token``; ``user`` is who may send it."""

    user: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["form_token"] = form_tokens.create(self.user.pk)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not form_tokens.is_valid(self.cleaned_data.get("form_token", ""), self.user.pk):
            self.data = {**self.data.dict(), "form_token": self.initial["form_token"]}  # type: ignore[attr-defined]
            self.add_error(None, FORM_EXPIRED)
        return cleaned


class NewKeyForm(SingleUseForm, KeyForm):
    """The form that makes a key, once."""

    form_token = _form_token_field()

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        client = self.cleaned_data.get("client")
        if client is not None and not may_create_keys(self.user, client):
            self.add_error("client", SUPERUSER_CREATES_KEYS)
        return cleaned


class RotateForm(SingleUseForm, forms.Form):
    """Why, and for how long the old key goes on."""

    form_token = _form_token_field()

    how = forms.ChoiceField(
        label=_("Why now"),
        widget=forms.RadioSelect,
        choices=(
            ("leaked", _("Leaked: the old key ends now")),
            ("planned", _("Planned: the old key goes on for a while")),
        ),
    )
    grace = forms.TypedChoiceField(
        label=_("If planned, the old key ends after"),
        choices=GRACES,
        coerce=int,
        initial=7 * 24 * HOUR,
        help_text=_("Both keys work meanwhile. Long enough to put the new one everywhere."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=255,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=_("For whoever asks later. Such as: yearly rotation."),
    )
    # When the key was rotated last, as far as who sends this has seen.
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    @property
    def grace_seconds(self) -> int:
        """How long the old key goes on."""
        return 0 if self.cleaned_data["how"] == "leaked" else int(self.cleaned_data["grace"])
