"""The forms of the key screen: what may be decided about a key, and what may be changed later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from .. import conf
from . import tickets
from .forms import PolicyForm
from .owners import NOT_YOURS_TO_MAKE, may_make_keys

if TYPE_CHECKING:
    FormBase = forms.Form
else:
    FormBase = object

MADE_ONCE = _("This form is too old to make a key with. It is a new one now: look it over, save.")
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


def _ticket() -> forms.CharField:
    return forms.CharField(widget=forms.HiddenInput, required=False, max_length=200)


class MakesOneKey(FormBase):
    """Mixed into a form with a field ``ticket``; ``user`` is who may send it."""

    user: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["ticket"] = tickets.new(self.user.pk)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not tickets.is_good(self.cleaned_data.get("ticket", ""), self.user.pk):
            self.data = {**self.data.dict(), "ticket": self.initial["ticket"]}  # type: ignore[attr-defined]
            self.add_error(None, MADE_ONCE)
        return cleaned


class NewKeyForm(MakesOneKey, KeyForm):
    """The form that makes a key, once."""

    ticket = _ticket()

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        client = self.cleaned_data.get("client")
        if client is not None and not may_make_keys(self.user, client):
            self.add_error("client", NOT_YOURS_TO_MAKE)
        return cleaned


class RotateForm(MakesOneKey, forms.Form):
    """Why, and for how long the old key goes on."""

    ticket = _ticket()

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
