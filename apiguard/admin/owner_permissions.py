"""Who may let a client act as a user, and give out what it then acts with.

Whoever holds a key of a client that acts as its owner is that owner to every
view. Permission to edit clients and to make keys must not be a way to become
somebody with more rights, so here it takes a superuser.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from ..models import Client
from .forms import PolicyForm

ACTS_AS_OWNER_HELP = _(
    "Views see the owner as the signed-in user. Costs one query per request. "
    "Only a superuser may tick this, or choose another owner while it is ticked."
)
SUPERUSER_TICKS = _("Only a superuser may let a client act as its owner.")
SUPERUSER_CHOOSES_OWNER = _(
    "This client acts as its owner: only a superuser may choose another. Or untick “acts as owner”."
)
SUPERUSER_CREATES_KEYS = _(
    "This client acts as its owner, who is staff or a superuser: "
    "only a superuser may make keys for it."
)


class ClientForm(PolicyForm):
    """A client as ``user``, who is signed in, may edit it."""

    user: Any = None

    class Meta:
        help_texts = {"acts_as_owner": ACTS_AS_OWNER_HELP}

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        stored = self.instance  # What was typed is put into it after this.
        acts = self.cleaned_data.get("acts_as_owner", stored.acts_as_owner)
        owner = self.cleaned_data.get("owner", stored.owner)
        if not acts or _is_superuser(self.user):
            return cleaned
        if not stored.acts_as_owner:
            self.add_error("acts_as_owner", SUPERUSER_TICKS)
        elif owner != stored.owner:
            self.add_error("owner", SUPERUSER_CHOOSES_OWNER)
        return cleaned


def may_create_keys(user: Any, client: Client) -> bool:
    """Whether a key of ``client`` would give ``user`` no rights but an ordinary user's."""
    owner = client.owner if client.acts_as_owner else None
    has_rights = _is_superuser(owner) or getattr(owner, "is_staff", False)
    return not has_rights or _is_superuser(user)


def _is_superuser(user: Any) -> bool:
    # Whose user model has no superusers makes such clients in the shell.
    return bool(getattr(user, "is_superuser", False))
