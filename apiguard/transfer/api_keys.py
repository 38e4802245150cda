"""Keys of djangorestframework-api-key -> clients and keys.

The keys go on working as they are, in ``Authorization: Api-Key``. What is there already
is left as it is, so that the import can be run again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models, transaction
from django.utils import timezone
from django.utils.text import slugify

from .. import conf
from ..errors import PolicyError
from ..models import ApiKey, Client, Tier
from ..models.state import write_alias
from ..rules import keys as key_rules
from ..rules.imported_keys import read_stored

MODEL = "rest_framework_api_key.APIKey"
NOTE = "Imported from djangorestframework-api-key."
_FIELDS = ("prefix", "hashed_key", "name", "revoked", "expiry_date", "created")


@dataclass(frozen=True, slots=True)
class Plan:
    """What every imported key gets.

    Attributes:
        client_field: the field of the model whose value owns the key; "": each name is a client.
    """

    model: str = MODEL
    client_field: str = ""
    tier: Tier | None = None
    scopes: tuple[str, ...] = ()


@dataclass(slots=True)
class Result:
    """One line for each row that was made, and for each key that was not."""

    made: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def rows_of(plan: Plan) -> Iterable[Any]:
    """Return the rows of the package's model, oldest first.

    Raises:
        PolicyError: there is no such model, or it is not one of the package's kind.
    """
    try:
        model: type[models.Model] = apps.get_model(plan.model)
        for name in (*_FIELDS, *filter(None, [plan.client_field])):
            model._meta.get_field(name)
    except (LookupError, ValueError, FieldDoesNotExist) as error:
        raise PolicyError(
            "unknown_model",
            plan.model,
            f"No keys can be read from {plan.model}: {str(error).rstrip('.')}.",
            "Add the package to INSTALLED_APPS, or name your subclass of AbstractAPIKey.",
        ) from error
    return model._default_manager.order_by("created", "prefix")


def import_keys(plan: Plan, *, dry_run: bool = False) -> Result:
    """Make a client and a key for each usable row, in one transaction.

    Raises:
        PolicyError: the rows cannot be read.
        ValidationError: a client or key would not be valid, such as an unregistered scope.
    """
    result, using = Result(), write_alias()
    rows = rows_of(plan)
    with transaction.atomic(using=using):
        known = set(ApiKey.objects.using(using).values_list("key_id", flat=True))
        for row in rows:
            label = f"{row.name!r} ({row.prefix})"
            why_not = _why_not(row, known)
            if why_not is not None:
                where = result.left if row.prefix in known else result.refused
                where.append(f"key {label}: {why_not}")
                continue
            client = _client(row, plan, result)
            if client.acts_as_owner:
                why_not = f"client {client.slug!r} acts as its owner, and so would the key"
                result.refused.append(f"key {label}: {why_not}; issue one in the admin")
                continue
            _save_key(row, client, plan)
            result.made.append(f"key {label} of client {client.slug!r}")
        if dry_run:
            transaction.set_rollback(True, using=using)
    return result


def _why_not(row: Any, known: set[str]) -> str | None:
    if row.prefix in known:
        return "there already"
    if row.revoked:
        return "revoked"
    if row.expiry_date is not None and row.expiry_date <= timezone.now():
        return "expired"
    if len(row.prefix) != 8 or not row.prefix.isascii() or not row.prefix.isalnum():
        return "made by a key generator of your own, so its form is not known"
    if read_stored(row.hashed_key) is None:
        return "hashed by an older release of the package; use it once there and import again"
    return None


def _client(row: Any, plan: Plan, result: Result) -> Client:
    owner = getattr(row, plan.client_field) if plan.client_field else row.name
    name = str(owner)[:100]
    slug = slugify(name)[:50] or f"imported-{row.prefix.lower()}"
    clients = Client.objects.using(write_alias())
    found = clients.filter(slug=slug).first()
    if found is not None and found.name != name:
        # Somebody else's, whose name comes to the same slug.
        slug = f"{slug}-{row.prefix.lower()}"
        found = clients.filter(slug=slug).first()
    if found is not None:
        return found
    client = Client(slug=slug, name=name, tier=plan.tier)
    client.full_clean()
    client.save(using=write_alias())
    tier = f" in tier {plan.tier.slug!r}" if plan.tier is not None else ", not limited"
    result.made.append(f"client {slug!r}{tier}")
    return client


def _save_key(row: Any, client: Client, plan: Plan) -> None:
    pepper_id, pepper = next(iter(conf.current().key_peppers.items()), ("", None))
    key = ApiKey(
        client=client,
        name=row.name,
        key_id=row.prefix,
        digest=key_rules.digest(read_stored(row.hashed_key) or "", pepper),
        pepper_id=pepper_id,
        scopes=list(plan.scopes),
        expires_at=row.expiry_date,
        created_at=row.created,
    )
    key.full_clean(exclude=["client", "replaces"])
    key.save(using=write_alias())
