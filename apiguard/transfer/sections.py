"""Which rows a policy file holds, under which names, and how each value is written.

The fields of a section are those of its model: a new field is in the file without a word
here. What a file never holds is named: keys, state, and what workers fetch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeAlias

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.utils import timezone

from ..models import (
    AllowedOrigin,
    ApiKey,
    BlockedNetwork,
    Client,
    CorsPolicy,
    HeaderPolicy,
    JwtIssuer,
    Limit,
    LimitOverride,
    PolicyModel,
    ResponseHeader,
    Route,
    Tier,
)
from ..policy.records import aware
from ..rules.jwks import PRIVATE_MEMBERS

AnyField: TypeAlias = "models.Field[Any, Any]"

# Policy that is no code: a key's digest is a secret, and a block is for an emergency.
NOT_IN_FILES: frozenset[type[PolicyModel]] = frozenset({ApiKey, BlockedNetwork})


@dataclass(frozen=True)
class Section:
    """The rows of one model in a file.

    Attributes:
        name: the member of the file, or of the parent's mapping, that holds the rows.
        natural: the fields that name a row among its siblings.
        parent: the field that refers to the row under which this one stands.
        left_out: fields that no file holds.
        has_names: whether other rows refer to a row, or counts hang on it, so that
            giving it another name differs from making another row.
    """

    name: str
    model: type[PolicyModel]
    natural: tuple[str, ...]
    parent: str = ""
    left_out: frozenset[str] = frozenset()
    has_names: bool = True
    as_key: Callable[[Any], str] = field(default=str)

    @cached_property
    def fields(self) -> Mapping[str, AnyField]:
        """The fields that a file holds, in the order of the model."""
        left_out = {self.model._meta.pk.name, self.parent, "revision", *self.left_out}
        concrete = self.model._meta.concrete_fields
        return {each.name: each for each in concrete if each.name not in left_out}

    @cached_property
    def references(self) -> Mapping[str, str]:
        """The fields that refer to other rows, and the section of those; "" for users."""
        found = {}
        for name, each in self.fields.items():
            if isinstance(each, models.ForeignKey):
                found[name] = _section_of(each.related_model)
        return found

    @property
    def label(self) -> str:
        """What one row is called for people."""
        return str(self.model._meta.verbose_name)


def _header_key(value: Any) -> str:
    # Names of headers are not case-sensitive (RFC 9110, section 5.1).
    return value.lower() if isinstance(value, str) else ",".join(map(str, value))


# In an order in which rows refer to earlier ones, but for a limit's route.
SECTIONS: tuple[Section, ...] = (
    Section("cors_policies", CorsPolicy, ("name",)),
    Section("origins", AllowedOrigin, ("pattern",), parent="policy", has_names=False),
    Section("header_policies", HeaderPolicy, ("name",)),
    Section(
        "headers",
        ResponseHeader,
        ("name", "content_types"),
        parent="policy",
        has_names=False,
        as_key=_header_key,
    ),
    Section("tiers", Tier, ("slug",)),
    Section("routes", Route, ("name",)),
    Section("limits", Limit, ("name",), parent="tier"),
    Section("issuers", JwtIssuer, ("name",), left_out=frozenset({"fetched_jwks", "fetched_at"})),
    Section("clients", Client, ("slug",)),
    Section("overrides", LimitOverride, ("limit",), parent="client", has_names=False),
)
BY_NAME = {section.name: section for section in SECTIONS}
BY_MODEL: Mapping[Any, Section] = {section.model: section for section in SECTIONS}
WITH_CLIENTS = frozenset({"clients", "overrides"})


def parent_of(section: Section) -> Section | None:
    """Return the section under whose rows the rows of this one stand."""
    if not section.parent:
        return None
    return BY_MODEL[section.model._meta.get_field(section.parent).related_model]


def children_of(section: Section) -> list[Section]:
    """Return the sections whose rows stand under the rows of this one."""
    return [child for child in SECTIONS if parent_of(child) is section]


def top_sections() -> list[Section]:
    """Return the sections of the file itself, in its order."""
    return [section for section in SECTIONS if not section.parent]


def _section_of(model: Any) -> str:
    if model is get_user_model():
        return ""
    return BY_MODEL[model].name


def written(each: AnyField, value: Any) -> Any:
    """Return the value of a field that is no reference, as a file holds it."""
    if isinstance(value, datetime):
        at = aware(value) or value
        return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(each, models.JSONField):
        # Databases keep the members of an object in orders of their own.
        ordered = json.loads(json.dumps(value, sort_keys=True))
        return public_keys(ordered) if each.name == "jwks" else ordered
    # Defaults are members of enumerations.
    return str(value) if isinstance(value, str) else value


def public_keys(value: Any) -> Any:
    """Return a key set without private members, which raw SQL may have left there."""
    return _without_private(value) if isinstance(value, dict) else None


def _without_private(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_private(member)
            for name, member in value.items()
            if name not in PRIVATE_MEMBERS
        }
    return [_without_private(item) for item in value] if isinstance(value, list) else value


def stored(each: AnyField, value: Any) -> Any:
    """Return the same value as the field's attribute holds it."""
    if isinstance(each, models.DateTimeField) and isinstance(value, str):
        at = datetime.fromisoformat(value)
        return at if settings.USE_TZ else timezone.make_naive(at)
    return value
