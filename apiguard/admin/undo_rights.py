"""What a person lacks to take changes back: to undo a widening takes the right to widen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from ..history.undo import Step, needed_permissions
from ..models import ApiKey, Client, JwtIssuer
from .issuer_form import DECISIVE, MAY_NOT_DECIDE, NOT_YOURS_TO_CHANGE, NOT_YOURS_TO_MAP
from .keys.forms import MAY_NOT_GRANT, widened_fields
from .owner_permissions import (
    MAY_NOT_CREATE_KEYS,
    MAY_NOT_WIDEN_CLIENT,
    may_act_as,
    may_create_keys,
    may_impersonate,
    widens_networks,
)


def find_missing_rights(user: Any, steps: Iterable[Step]) -> list[str]:
    """Return sentences on what ``user`` may not do of these steps."""
    steps = list(steps)
    found = [
        _("You lack the permission %(code)s.") % {"code": code.removeprefix("apiguard.")}
        for code in sorted(needed_permissions(steps))
        if not user.has_perm(code)
    ]
    for step in steps:
        found += [f"{step.entry.name}: {text}" for text in _widenings(user, step)]
    return list(dict.fromkeys(found))


def _widenings(user: Any, step: Step) -> Iterator[str]:
    row = step.model._base_manager.filter(pk=step.pk).first() or step.model()
    after: Mapping[str, Any] = step.entry.after or {}
    if step.kind not in ("create", "change"):
        return
    if isinstance(row, Client):
        yield from _of_client(user, row, after)
    elif isinstance(row, ApiKey):
        yield from _of_key(user, row, after)
    elif isinstance(row, JwtIssuer):
        yield from _of_issuer(user, row, after)


def _of_client(user: Any, row: Client, after: Mapping[str, Any]) -> Iterator[str]:
    acts = after.get("acts_as_owner", row.acts_as_owner)
    widens = (
        (after.get("acts_as_owner") and not row.acts_as_owner)
        or "owner_id" in after
        or (after.get("enabled") and not row.enabled)
        or ("allowed_networks" in after and _is_wider(row.allowed_networks, after))
    )
    owner_pk = after.get("owner_id", row.owner_id)
    if not acts or not widens or owner_pk is None:
        return
    users: Any = Client._meta.get_field("owner").related_model
    owner = users._base_manager.filter(pk=owner_pk).first()
    if owner is None or not may_act_as(user, owner):
        yield str(MAY_NOT_WIDEN_CLIENT)


def _is_wider(networks: object, after: Mapping[str, Any]) -> bool:
    return widens_networks(networks, after["allowed_networks"])


def _of_key(user: Any, row: ApiKey, after: Mapping[str, Any]) -> Iterator[str]:
    typed = {name: row._meta.get_field(name).to_python(value) for name, value in after.items()}  # type: ignore[union-attr]
    widened = widened_fields(row, typed)
    if "not_before" in after and row.not_before is not None:
        widened.append("not_before")
    if "scopes" in widened and not user.has_perm("apiguard.grant_scopes"):
        yield str(MAY_NOT_GRANT)
    if widened and not may_create_keys(user, row.client):
        yield str(MAY_NOT_CREATE_KEYS)


def _of_issuer(user: Any, row: JwtIssuer, after: Mapping[str, Any]) -> Iterator[str]:
    enabled = after.get("enabled", row.enabled)
    maps = after.get("user_field", row.user_field)
    is_superuser = getattr(user, "is_superuser", False)
    # Switching off is for everybody.
    decides = any(name in after for name in DECISIVE_COLUMNS) or bool(after.get("enabled"))
    if "user_field" in after and maps and not is_superuser:
        yield str(NOT_YOURS_TO_MAP)
    elif decides and maps and not is_superuser:
        # Of a disabled one too: who enables it has not seen what was put back.
        yield str(NOT_YOURS_TO_CHANGE)
    elif decides and enabled and not may_impersonate(user):
        yield str(MAY_NOT_DECIDE)


DECISIVE_COLUMNS = [
    JwtIssuer._meta.get_field(name).attname  # type: ignore[union-attr]
    for name in DECISIVE
    if name != "enabled"
]
