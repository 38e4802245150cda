"""Check who may create or widen a credential that acts as a user.

The holder of a key of a client that acts as its owner is that owner to every
view. Permission to edit clients and keys must not be a way to become somebody
with more rights. So such a credential is created or widened only by a superuser,
or by a user with the permission ``impersonate`` who has every permission that
the owner has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from ..errors import NetworkError
from ..models import ApiKey, Client
from ..rules.networks import Network, is_within, parse_network
from .display import as_strings
from .forms import PolicyForm

MOST_LISTED = 20
ACTS_AS_OWNER_HELP = _(
    "Views see the owner as the signed-in user. Costs one query per request. "
    "Only a superuser may tick this or choose another owner while it is ticked; or a user with "
    "the permission “impersonate” who has every permission of the owner."
)
MAY_NOT_TICK = _(
    "Only a superuser, or a user with the permission “impersonate” and every permission of the "
    "owner, may let a client act as this owner."
)
MAY_NOT_CHOOSE_OWNER = _(
    "This client acts as its owner: only a superuser, or a user with the permission "
    "“impersonate” and every permission of the new owner, may choose another. "
    "Or untick “acts as owner”."
)
MAY_NOT_WIDEN_CLIENT = _(
    "This client acts as its owner: only a superuser, or a user with the permission "
    "“impersonate” and every permission of the owner, may change this so that more requests "
    "are accepted."
)
MAY_NOT_CREATE_KEYS = _(
    "This client acts as its owner: only a superuser, or a user with the permission "
    "“impersonate” and every permission of the owner, may create or widen keys of it."
)


def may_impersonate(user: Any) -> bool:
    """Whether ``user`` may create credentials that stand for users at all."""
    return _is_superuser(user) or user.has_perm("apiguard.impersonate")


def may_act_as(user: Any, owner: Any) -> bool:
    """Whether ``user`` may create or widen a credential that stands for ``owner``.

    Args:
        owner: a user, or None where the credential stands for nobody.
    """
    if owner is None or _is_superuser(user):
        return True
    if not may_impersonate(user) or _is_superuser(owner) or not owner.is_active:
        return False  # The permissions of an inactive user cannot be compared.
    is_more_staff = getattr(owner, "is_staff", False) and not getattr(user, "is_staff", False)
    return not is_more_staff and owner.get_all_permissions() <= user.get_all_permissions()


def may_create_keys(user: Any, client: Client) -> bool:
    """Whether ``user`` may create or widen keys of ``client``."""
    return may_act_as(user, client.owner if client.acts_as_owner else None)


def widens_networks(before: object, after: object) -> bool:
    """Whether a list of allowed networks admits an address that it did not admit before.

    An empty list admits every address; a member that is no network admits none.
    """
    known, wanted = as_strings(before), as_strings(after)
    if not known:
        return False
    held = _networks(known)
    return not wanted or not all(is_within(network, held) for network in _networks(wanted))


def _networks(texts: Iterable[str]) -> list[Network]:
    found = []
    for text in texts:
        with suppress(NetworkError):
            found.append(parse_network(text))
    return found


class ClientForm(PolicyForm):
    """The form of a client, with the permissions of ``user``, who is signed in."""

    user: Any = None
    # A person who approves one of them has seen the others.
    coupled = frozenset({"owner", "acts_as_owner", "enabled", "allowed_networks"})

    confirm_keys = forms.BooleanField(
        label=_("Its existing keys may act as the owner"),
        required=False,
        help_text=_("Needed when keys exist that will act as the owner from now on."),
    )

    class Meta:
        help_texts = {"acts_as_owner": ACTS_AS_OWNER_HELP}

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        stored = self.instance  # The typed values are assigned to it after this.
        acts = self.cleaned_data.get("acts_as_owner", stored.acts_as_owner)
        owner = self.cleaned_data.get("owner", stored.owner)
        if not acts or owner is None:
            return cleaned
        begins = not stored.acts_as_owner or owner != stored.owner
        widened = self._widened()
        if (begins or widened) and not may_act_as(self.user, owner):
            if not stored.acts_as_owner:
                self.add_error("acts_as_owner", MAY_NOT_TICK)
            elif begins:
                self.add_error("owner", MAY_NOT_CHOOSE_OWNER)
            for name in widened:
                self.add_error(name, MAY_NOT_WIDEN_CLIENT)
        elif begins:
            self._confirm_keys(owner)
        return cleaned

    def _widened(self) -> list[str]:
        """Return the fields that were changed so that more requests are accepted."""
        stored, widened = self.instance, []
        if stored.pk is None:
            return []
        if self.cleaned_data.get("enabled") and not stored.enabled:
            widened.append("enabled")
        networks = self.cleaned_data.get("allowed_networks")
        if networks is not None and widens_networks(stored.allowed_networks, networks):
            widened.append("allowed_networks")
        return widened

    def _confirm_keys(self, owner: Any) -> None:
        """Name the keys that would act as the owner, and ask for a tick that names them too."""
        keys = ApiKey.objects.filter(client=self.instance.pk, revoked_at=None).order_by("name")
        approved = _digest([owner.pk, *sorted(keys.values_list("pk", flat=True))])
        name = self.add_prefix("confirm_keys")
        names = [str(key) for key in keys[:MOST_LISTED]]
        if not names or self.data.get(name) == approved:
            return
        more = _(" and more") if keys.count() > len(names) else ""
        text = _("These keys will act as %(owner)s: %(keys)s%(more)s. Tick this if they may.")
        self.add_error(
            "confirm_keys", text % {"owner": owner, "keys": ", ".join(names), "more": more}
        )
        # A tick that was given for another owner or other keys does not count.
        data = self.data.copy()  # type: ignore[attr-defined]
        data.pop(name, None)
        self.data = data
        self.fields["confirm_keys"].widget.attrs["value"] = approved


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()[:16]


def _is_superuser(user: Any) -> bool:
    # A user model without superusers: such clients are created in the shell.
    return bool(getattr(user, "is_superuser", False))
