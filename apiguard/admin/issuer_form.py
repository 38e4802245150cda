"""The form of an issuer: where its keys come from, and who may let it sign users in.

The holder of the keys of an issuer that maps subjects to users can sign in as
anybody. So it takes a superuser to map one, and to change what decides which
tokens of a mapped one are accepted.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from ..models import JwtIssuer
from ..models.issuers import KEY_SOURCES
from ..rules.jwks import MAX_SET_LENGTH
from ..rules.strict_json import JsonRefused, read_object
from .forms import PolicyForm
from .owner_permissions import may_impersonate

SOURCE_WORDS = {
    "secret_name": _("a named secret of the settings (HS algorithms)"),
    "jwks": _("public keys pasted here"),
    "jwks_url": _("a URL that serves public keys"),
}
# What decides whether a token is accepted, and what it then permits.
DECISIVE = (
    *("issuer", "audiences", "audience_claim", "algorithms", *KEY_SOURCES),
    *("token_types", "required_claims", "leeway", "max_lifetime", "enabled"),
    *("scope_claim", "tier", "tier_claim"),
)
NOT_YOURS_TO_MAP = _("Only a superuser may let an issuer's tokens stand for users.")
NOT_YOURS_TO_CHANGE = _(
    "This issuer's tokens stand for users: only a superuser may change this. "
    "You may untick “enabled”, or empty the user field."
)
MAY_NOT_DECIDE = _(
    "This decides whose tokens are accepted: only a superuser, or a user with the permission "
    "“impersonate”, may change it while the issuer is enabled. You may untick “enabled”."
)


class KeySetField(forms.JSONField):
    """A JWK set, or nothing: an empty field rather than the word null."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.strip():
            _refuse_ambiguous(value)
        return super().to_python(value)


def _refuse_ambiguous(text: str) -> None:
    """What the database keeps cannot tell any more that a member stood there twice."""
    if len(text) > MAX_SET_LENGTH:
        raise ValidationError(_("This is longer than %(most)s."), params={"most": MAX_SET_LENGTH})
    try:
        read_object(text.encode("utf-8", "surrogatepass"))
    except JsonRefused as refused:
        message = _("This is not a JSON object that everybody reads alike (%(why)s).")
        raise ValidationError(message, params={"why": refused.problem.value}) from None


class IssuerForm(PolicyForm):
    """An issuer as ``user``, who is signed in, may edit it."""

    user: Any = None
    # A person who enables an issuer, or maps its users, has seen what its tokens must hold.
    coupled = frozenset({*DECISIVE, "user_field"})

    key_source = forms.ChoiceField(
        label=_("Keys come from"),
        required=False,
        choices=(("", _("what is filled in below")), *SOURCE_WORDS.items()),
        help_text=_("Choose another source and fill it in; what was given before is removed."),
    )

    class Meta:
        help_texts = {
            "user_field": _(
                "Field of the user model that equals sub. Empty: tokens have no user row. "
                "Only a superuser may set it: the holder of the issuer's keys can then sign in "
                "as anybody."
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None:
            self.initial.setdefault("key_source", source_of(self.instance))

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if "key_source" in self.changed_data and self.cleaned_data.get("key_source"):
            self._take_source(self.cleaned_data["key_source"])
        if self.cleaned_data.get("user_field") and not getattr(self.user, "is_superuser", False):
            self._keep_from_staff()
        elif self.cleaned_data.get("enabled") and not may_impersonate(self.user):
            self._refuse_decisive_changes(MAY_NOT_DECIDE)
        return cleaned

    def _take_source(self, chosen: str) -> None:
        if not self.cleaned_data.get(chosen) and chosen not in self.errors:
            self.add_error(chosen, _("Fill this in, or choose another source of keys."))
        for name in KEY_SOURCES:
            if name == chosen or not self.cleaned_data.get(name):
                continue
            if name in self.changed_data:
                self.add_error(name, _("This is filled in, and another source is chosen."))
            else:
                self.cleaned_data[name] = None if name == "jwks" else ""

    def _keep_from_staff(self) -> None:
        if "user_field" in self.changed_data or self.instance.pk is None:
            self.add_error("user_field", NOT_YOURS_TO_MAP)
            return
        self._refuse_decisive_changes(NOT_YOURS_TO_CHANGE)

    def _refuse_decisive_changes(self, message: Any) -> None:
        """Refuse what decides which tokens are accepted; switching off is for everybody."""
        is_new = self.instance.pk is None
        names = ["enabled"] if is_new else [name for name in DECISIVE if name in self.changed_data]
        for name in names:
            switched_off = name == "enabled" and not self.cleaned_data.get("enabled")
            if not switched_off and name not in self.errors:
                self.add_error(name, message)


def source_of(issuer: JwtIssuer) -> str:
    """Return the field that says where the keys come from; empty where that is not clear."""
    given = [name for name in KEY_SOURCES if getattr(issuer, name)]
    return given[0] if len(given) == 1 else ""
