"""Clients and keys as the keyring keeps them; one row in, one frozen record out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from ..models import ApiKey, Client, LimitOverride
from ..rules.networks import Network, parse_networks


@dataclass(frozen=True, slots=True)
class Override:
    """Another amount of one limit, until an instant (UTC) or for good."""

    amount: int
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """What a request needs to know of a client; ``overrides`` by the limit's primary key."""

    pk: Any
    slug: str
    name: str
    tier_pk: Any
    owner_pk: Any
    acts_as_owner: bool
    enabled: bool
    allowed_networks: tuple[Network, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)
    overrides: Mapping[Any, Override] = field(default_factory=dict, hash=False)
    broken: bool = False


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What a request needs to know of a key; ``digest`` stays out of its repr."""

    pk: Any
    key_id: str
    name: str
    environment: str
    digest: str = field(repr=False)
    pepper_id: str = field(repr=False)
    scopes: frozenset[str]
    allowed_networks: tuple[Network, ...]
    not_before: datetime | None
    expires_at: datetime | None
    revoked: bool
    client: ClientRecord
    broken: bool = False


def aware(value: datetime | None) -> datetime | None:
    """Return an instant; where ``USE_TZ`` is off, rows say it without its zone."""
    return timezone.make_aware(value) if value is not None and timezone.is_naive(value) else value


def client_record(row: Client, overrides: Iterable[LimitOverride] = ()) -> ClientRecord:
    """Return a client as the keyring keeps it; one with an error is refused.

    Of ``overrides``, the client's own, those with an error change nothing.
    """
    broken = bool(row.problems())
    networks = () if broken else parse_networks(row.allowed_networks)
    return ClientRecord(
        pk=row.pk,
        slug=row.slug,
        name=row.name,
        tier_pk=row.tier_id,
        owner_pk=row.owner_id,
        acts_as_owner=row.acts_as_owner,
        enabled=row.enabled,
        allowed_networks=networks,
        metadata=row.metadata,
        overrides={
            override.limit_id: Override(override.amount, aware(override.until))
            for override in overrides
            if not override.problems()
        },
        broken=broken,
    )


def key_record(row: ApiKey, overrides: Iterable[LimitOverride] = ()) -> KeyRecord:
    """Return a key as the keyring keeps it, with its client; one with an error is refused."""
    broken = bool(row.problems())
    networks = () if broken else parse_networks(row.allowed_networks)
    return KeyRecord(
        pk=row.pk,
        key_id=row.key_id,
        name=row.name,
        environment=row.environment,
        digest=row.digest,
        pepper_id=row.pepper_id,
        scopes=frozenset() if broken else frozenset(row.scopes),
        allowed_networks=networks,
        not_before=None if broken else aware(row.not_before),
        expires_at=None if broken else aware(row.expires_at),
        revoked=row.revoked_at is not None,
        client=client_record(row.client, overrides),
        broken=broken,
    )


def keyless_record(row: Client, overrides: Iterable[LimitOverride] = ()) -> KeyRecord:
    """Return the record of a key that a client does not have; it has no scope and no secret."""
    return KeyRecord(
        pk=None,
        key_id="",
        name="",
        environment="live",
        digest="",
        pepper_id="",
        scopes=frozenset(),
        allowed_networks=(),
        not_before=None,
        expires_at=None,
        revoked=False,
        client=client_record(row, overrides),
    )
