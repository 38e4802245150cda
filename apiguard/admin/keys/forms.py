"""The forms of the key screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ... import conf
from ..display import as_strings
from ..forms import PolicyForm
from ..owner_permissions import MAY_NOT_CREATE_KEYS, may_create_keys, widens_networks
from . import form_tokens

if TYPE_CHECKING:
    FormBase = forms.Form
else:
    FormBase = object

FORM_EXPIRED = _(
    "This form is too old to create a key. It has been renewed: check the values and save again."
)
NEEDS_REASON = _("Write the reason of this change in the box at the end of the form.")
MAY_NOT_GRANT = _(
    "You may not grant scopes: that takes the permission “grant scopes”. You may remove them."
)
HOUR = 3600
GRACES = (
    (HOUR, _("1 hour")),
    (24 * HOUR, _("1 day")),
    (7 * 24 * HOUR, _("7 days")),
    (30 * 24 * HOUR, _("30 days")),
)


class KeyForm(PolicyForm):
    """The form of an existing key, and the base of the form of a new one, for ``user``."""

    user: Any = None

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
            self.add_error("expires_at", _("The key would expire before it becomes valid."))
        elif ends and "expires_at" in self.changed_data and ends <= timezone.now():
            self.add_error("expires_at", _("This time has passed. To end a key now, revoke it."))
        self._refuse_widening()
        if not str(self.data.get("change_reason", "")).strip():
            self.add_error(None, NEEDS_REASON)
        return cleaned

    def _refuse_widening(self) -> None:
        """Refuse to widen a key that carries more than the permissions of ``user``."""
        widened = widened_fields(self.instance, self.cleaned_data)
        if "scopes" in widened and not self.user.has_perm("apiguard.grant_scopes"):
            self.add_error("scopes", MAY_NOT_GRANT)
        if self.instance.pk is None or may_create_keys(self.user, self.instance.client):
            return  # The client of a new key is among what was typed.
        for name in widened:
            if name not in self.errors:
                self.add_error(name, MAY_NOT_CREATE_KEYS)


def widened_fields(stored: Any, typed: Mapping[str, Any]) -> list[str]:
    """The fields whose typed values let a key do more than the ``ApiKey`` as it is stored."""
    widened = []
    if set(typed.get("scopes") or ()) - set(as_strings(stored.scopes)):
        widened.append("scopes")
    if stored.pk is None:
        return widened
    if "allowed_networks" in typed and widens_networks(
        stored.allowed_networks, typed["allowed_networks"]
    ):
        widened.append("allowed_networks")
    ends, ended = typed.get("expires_at"), stored.expires_at
    if "expires_at" in typed and ended and (ends is None or ends > ended):
        widened.append("expires_at")
    return widened


def scope_choice(registry: frozenset[str], stored: object) -> forms.MultipleChoiceField:
    """Return a field with the registered scopes, and the other scopes of the row."""
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
        help_text=_("With none ticked, the key may use nothing that needs a scope."),
    )


def _form_token_field() -> forms.CharField:
    return forms.CharField(widget=forms.HiddenInput, required=False, max_length=200)


class SingleUseForm(FormBase):
    """Mixin of a form with a field ``form_token``, for ``user`` only."""

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
    """The form that creates a key."""

    form_token = _form_token_field()

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        client = self.cleaned_data.get("client")
        if client is not None and not may_create_keys(self.user, client):
            self.add_error("client", MAY_NOT_CREATE_KEYS)
        return cleaned


class RotateForm(SingleUseForm, forms.Form):
    """The reason of a rotation, and the time for which the old key stays valid."""

    form_token = _form_token_field()

    how = forms.ChoiceField(
        label=_("Why now"),
        widget=forms.RadioSelect,
        choices=(
            ("leaked", _("Leaked: the old key stops working now")),
            ("planned", _("Planned: the old key works for a while longer")),
        ),
    )
    grace = forms.TypedChoiceField(
        label=_("If planned, the old key works for"),
        choices=GRACES,
        coerce=int,
        initial=7 * 24 * HOUR,
        help_text=_("Both keys work during this time. Choose enough time to deploy the new one."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=255,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=_("Kept in the history. Such as: yearly rotation."),
    )
    # When the key was last rotated, at the time the form was rendered.
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    @property
    def grace_seconds(self) -> int:
        """Return the seconds for which the old key stays valid."""
        return 0 if self.cleaned_data["how"] == "leaked" else int(self.cleaned_data["grace"])
