"""Starting points for a new route: presets, and a copy of another route.

A preset fills in the form; nothing is saved before a person saves it. Policies
and tiers are those of the baseline where they exist, found by their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db.models import Model
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..models import CorsPolicy, HeaderPolicy, Route, Tier

JSON = ("application/json", "application/*+json")
FORM = "application/x-www-form-urlencoded"
MIB = 2**20

# What a copy leaves to the new route.
NOT_COPIED = frozenset({"id", "name", "path_prefix", "revision"})


class Preset(NamedTuple):
    """A starting point; ``references`` are names or slugs of rows that may exist."""

    label: str | Promise
    about: str | Promise
    fields: Mapping[str, Any]
    references: Mapping[str, str] = {}


HEADERS = {"header_policy": "api"}
PRESETS: Mapping[str, Preset] = {
    "json-api": Preset(
        _("JSON API"),
        _("Keys or tokens, JSON alone, browser apps by CORS; observes first."),
        {
            "mode": Route.Mode.OBSERVE,
            "access": Route.Access.CREDENTIALS,
            "accepts": list(JSON),
            "produces": list(JSON[:1]),
            "max_body_bytes": MIB,
        },
        {**HEADERS, "cors_policy": "browser-apps", "anonymous_tier": "anonymous"},
    ),
    "webhook": Preset(
        _("Webhook"),
        _("Form posts and JSON, no CORS; your view checks the signature."),
        {
            "mode": Route.Mode.ENFORCE,
            "access": Route.Access.APPLICATION,
            "methods": ["POST"],
            "accepts": [FORM, *JSON],
            "max_body_bytes": MIB,
        },
        HEADERS,
    ),
    "health": Preset(
        _("Health check"),
        _("GET without a credential and without a limit."),
        {
            "mode": Route.Mode.ENFORCE,
            "access": Route.Access.APPLICATION,
            "methods": ["GET"],
        },
        HEADERS,
    ),
    "upload": Preset(
        _("File upload"),
        _("Keys or tokens, forms with files up to 10 MiB; observes first."),
        {
            "mode": Route.Mode.OBSERVE,
            "access": Route.Access.CREDENTIALS,
            "methods": ["POST", "PUT"],
            "accepts": ["multipart/form-data"],
            "max_body_bytes": 10 * MIB,
        },
        HEADERS,
    ),
    "public-read": Preset(
        _("Public read-only"),
        _("GET for everybody, limited by address; observes first."),
        {
            "mode": Route.Mode.OBSERVE,
            "access": Route.Access.PUBLIC,
            "methods": ["GET", "OPTIONS"],
        },
        {**HEADERS, "anonymous_tier": "anonymous"},
    ),
    "legacy": Preset(
        _("Legacy site, observed"),
        _("Refuses and changes nothing; counts what rules would refuse."),
        {"mode": Route.Mode.OBSERVE, "access": Route.Access.APPLICATION},
        {**HEADERS, "anonymous_tier": "anonymous", "user_tier": "free"},
    ),
}

# Where the rows that presets refer to stand, and by which column they are found.
_FOUND_BY: Mapping[str, tuple[type[Model], str]] = {
    "cors_policy": (CorsPolicy, "name"),
    "header_policy": (HeaderPolicy, "name"),
    "anonymous_tier": (Tier, "slug"),
    "user_tier": (Tier, "slug"),
}


def initial_of_preset(name: str) -> dict[str, Any]:
    """Return the values of a preset for a new route's form; nothing for an unknown one."""
    preset = PRESETS.get(name)
    if preset is None:
        return {}
    found = dict(preset.fields)
    for field, value in preset.references.items():
        model, column = _FOUND_BY[field]
        row = model._default_manager.filter(**{column: value}).first()
        if row is not None:
            found[field] = row.pk
    return found


def initial_of_copy(route: Route) -> dict[str, Any]:
    """Return the values of a route for the form of another one."""
    return {
        field.name: getattr(route, field.attname)
        for field in route._meta.concrete_fields
        if field.name not in NOT_COPIED
    }
