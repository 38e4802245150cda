"""The recommended policy to start from: one route, and everything it refers to.

There are two: one for an API whose callers bring credentials of apiguard's, and one
for a project that signs people in by itself, which goes on as before.

Nothing that exists is touched. A tier, policy or route that is found by its
natural name is taken as it stands, with the limits and headers that staff
left in it; only what is missing is made, all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from .. import conf
from ..models import (
    CorsPolicy,
    HeaderPolicy,
    Limit,
    PolicyModel,
    ResponseHeader,
    Route,
    Tier,
)
from ..models.state import write_alias
from ..rules.paths import normalise_prefix

M = TypeVar("M", bound=PolicyModel)

ROUTE_NAME = "api"
CORS_POLICY = "browser-apps"
MAX_BODY_BYTES = 2**20
JSON = "application/json"

MINUTE, DAY = 60, 86400

Limits = tuple[tuple[str, int, int], ...]

# Slug -> limits: name, amount, seconds.
TIERS: Mapping[str, Limits] = {
    "anonymous": (("per-minute", 60, MINUTE),),
    "free": (("per-minute", 100, MINUTE),),
    "standard": (("per-minute", 1_000, MINUTE), ("per-day", 50_000, DAY)),
}
# Of a project that signs people in by itself: nobody knows yet how much its people need.
SHADOW_TIERS: Mapping[str, Limits] = {
    "application-anonymous": TIERS["anonymous"],
    "application-users": TIERS["free"],
}

_FORCE, _DEFAULT = ResponseHeader.Mode.FORCE, ResponseHeader.Mode.DEFAULT
_REMOVE = ResponseHeader.Mode.REMOVE
_ALWAYS, _HTTPS = ResponseHeader.Condition.ALWAYS, ResponseHeader.Condition.HTTPS

API_CSP = "default-src 'none'; frame-ancestors 'none'"
# default-src covers neither forms nor the base of links (CSP Level 3, sections 6.4 and 6.3).
STRICT_CSP = f"{API_CSP}; form-action 'none'; base-uri 'none'"
NO_CACHE = "no-store, no-cache, must-revalidate, proxy-revalidate"
HSTS_YEAR = "max-age=31536000; includeSubDomains"
HSTS_TWO_YEARS = "max-age=63072000; includeSubDomains"

# What a page could ask the device for; no response of an API is such a page.
FEATURES = (
    *("accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen"),
    *("geolocation", "gyroscope", "magnetometer", "microphone", "midi", "payment"),
    *("picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "sync-xhr", "usb"),
    *("web-share", "xr-spatial-tracking"),
)

JSON_TYPES = (JSON, "application/*+json")


class HeaderRow(NamedTuple):
    """A response header as a preset writes it; empty content types: all."""

    name: str
    value: str
    mode: str
    condition: str = _ALWAYS
    content_types: tuple[str, ...] = ()


# Header policy -> its rows. docs/headers.md names the source of each.
PRESETS: Mapping[str, tuple[HeaderRow, ...]] = {
    "api": (
        # Forced, because Django's own middleware sets some of them before apiguard does.
        HeaderRow("X-Content-Type-Options", "nosniff", _FORCE),
        HeaderRow("Referrer-Policy", "strict-origin-when-cross-origin", _FORCE),
        HeaderRow("X-Frame-Options", "DENY", _FORCE),
        HeaderRow("Strict-Transport-Security", HSTS_YEAR, _FORCE, _HTTPS),
        HeaderRow("X-Powered-By", "", _REMOVE),
        # A view decides otherwise: a response that may be cached, a page with scripts.
        HeaderRow("Cache-Control", NO_CACHE, _DEFAULT),
        HeaderRow("Pragma", "no-cache", _DEFAULT),
        HeaderRow("Expires", "0", _DEFAULT),
        HeaderRow("Content-Security-Policy", API_CSP, _DEFAULT),
    ),
    # For a project that exists: what it sends already stays, and its pages are left alone.
    "application": (
        HeaderRow("X-Content-Type-Options", "nosniff", _DEFAULT),
        HeaderRow("Referrer-Policy", "strict-origin-when-cross-origin", _DEFAULT),
        HeaderRow("X-Frame-Options", "DENY", _DEFAULT),
        HeaderRow("Strict-Transport-Security", HSTS_YEAR, _DEFAULT, _HTTPS),
        HeaderRow("X-Powered-By", "", _REMOVE),
        HeaderRow("Cache-Control", NO_CACHE, _DEFAULT, _ALWAYS, JSON_TYPES),
        HeaderRow("Pragma", "no-cache", _DEFAULT, _ALWAYS, JSON_TYPES),
        HeaderRow("Expires", "0", _DEFAULT, _ALWAYS, JSON_TYPES),
        HeaderRow("Content-Security-Policy", API_CSP, _DEFAULT, _ALWAYS, JSON_TYPES),
    ),
    # Overrides the views. Not preload: that binds the whole domain, for years.
    "strict": (
        HeaderRow("Cache-Control", "no-store", _FORCE),
        HeaderRow("Content-Security-Policy", STRICT_CSP, _FORCE),
        HeaderRow("Strict-Transport-Security", HSTS_TWO_YEARS, _FORCE, _HTTPS),
        HeaderRow("X-Content-Type-Options", "nosniff", _FORCE),
        HeaderRow("X-Frame-Options", "DENY", _FORCE),
        HeaderRow("Permissions-Policy", ", ".join(f"{name}=()" for name in FEATURES), _FORCE),
        HeaderRow("Referrer-Policy", "no-referrer", _FORCE),
        HeaderRow("Cross-Origin-Opener-Policy", "same-origin", _FORCE),
        HeaderRow("Cross-Origin-Resource-Policy", "same-origin", _FORCE),
        *(HeaderRow(name, "", _REMOVE) for name in ("Server", "X-Powered-By", "X-XSS-Protection")),
    ),
}

RATE_LIMIT_HEADERS = (
    *(f"X-RateLimit-{part}" for part in ("Limit", "Remaining", "Reset")),
    *(f"RateLimit-{part}" for part in ("Limit", "Remaining", "Reset", "Policy")),
    "RateLimit",
)


def write_baseline(
    prefix: str = "/api/",
    enforce: bool = False,
    preset: str | None = None,
    access: str = Route.Access.CREDENTIALS,
) -> list[str]:
    """Make what is missing of the recommended policy, in one transaction.

    Args:
        prefix: the path prefix of the route.
        enforce: whether a route that is made refuses anything; else it observes.
        preset: which of ``PRESETS`` a route that is made sends; the header policy
            has the same name. None: ``api``, or ``application`` with that access.
        access: ``credentials``, or ``application`` for a project that signs people
            in by itself.

    Returns:
        One line per row that was made; none if everything was there.

    Raises:
        PathError: no request can have this prefix.
        ValidationError: a row of somebody else stands in the way.
    """
    prefix = normalise_prefix(prefix)
    fields = _application_fields if access == Route.Access.APPLICATION else _credentials_fields
    try:
        return _write(prefix, enforce, preset, fields)
    except (IntegrityError, ValidationError):
        # Somebody made the same rows at this moment. Now they can be seen.
        return _write(prefix, enforce, preset, fields)


RouteFields = Callable[["RowWriter", str | None], dict[str, Any]]


def _write(prefix: str, enforce: bool, preset: str | None, fields: RouteFields) -> list[str]:
    with transaction.atomic(using=write_alias()):
        writer = RowWriter()
        writer.get_or_create(
            Route,
            {"path_prefix": prefix},
            name=_route_name(prefix),
            mode=Route.Mode.ENFORCE if enforce else Route.Mode.OBSERVE,
            **fields(writer, preset),
        )
    return writer.created


def _credentials_fields(writer: RowWriter, preset: str | None) -> dict[str, Any]:
    headers = _header_policy(writer, preset or "api")
    tiers = {slug: _tier(writer, slug, limits) for slug, limits in TIERS.items()}
    return {
        "access": Route.Access.CREDENTIALS,
        "accepts": [JSON],
        "produces": [JSON],
        "max_body_bytes": MAX_BODY_BYTES,
        "cors_policy": _cors_policy(writer),
        "header_policy": headers,
        "anonymous_tier": tiers["anonymous"],
        "user_tier": tiers["free"],
    }


def _application_fields(writer: RowWriter, preset: str | None) -> dict[str, Any]:
    """Refuse nothing that the project accepts today: uploads, forms, pages, event streams."""
    headers = _header_policy(writer, preset or "application")
    shadow = Limit.Mode.SHADOW
    tiers = {slug: _tier(writer, slug, limits, shadow) for slug, limits in SHADOW_TIERS.items()}
    return {
        "access": Route.Access.APPLICATION,
        "header_policy": headers,
        "anonymous_tier": tiers["application-anonymous"],
        "user_tier": tiers["application-users"],
    }


@dataclass(slots=True)
class RowWriter:
    """Creates the rows that are missing, and records which it created."""

    using: str = field(default_factory=write_alias)
    created: list[str] = field(default_factory=list)

    def get_or_create(
        self, model: type[M], natural: Mapping[str, Any], **fields: Any
    ) -> tuple[M, bool]:
        """Return the row with this natural key, and whether it was created."""
        rows: QuerySet[M] = model._default_manager.using(self.using)  # type: ignore[assignment]
        found = rows.filter(**natural).first()
        if found is not None:
            return found, False
        return self.add(model(**natural, **fields)), True

    def add(self, row: M, of: PolicyModel | None = None) -> M:
        row.full_clean()
        row.save(using=self.using)
        owner = "" if of is None else f" of {of._meta.verbose_name} {str(of)!r}"
        self.created.append(f"{row._meta.verbose_name} {str(row)!r}{owner}")
        return row

    def add_all(self, rows: Iterable[M], of: PolicyModel) -> None:
        for row in rows:
            self.add(row, of)


def _header_policy(writer: RowWriter, preset: str) -> HeaderPolicy:
    policy, new = writer.get_or_create(HeaderPolicy, {"name": preset})
    if new:
        rows = (
            ResponseHeader(
                policy=policy,
                name=row.name,
                value=row.value,
                mode=row.mode,
                condition=row.condition,
                content_types=list(row.content_types),
            )
            for row in PRESETS[preset]
        )
        writer.add_all(rows, of=policy)
    return policy


def _tier(writer: RowWriter, slug: str, limits: Limits, mode: str = Limit.Mode.ENFORCE) -> Tier:
    name = slug.replace("-", " ").capitalize()
    tier, new = writer.get_or_create(Tier, {"slug": slug}, name=name)
    if new:
        rows = (
            Limit(tier=tier, name=limit, amount=amount, period=period, mode=mode)
            for limit, amount, period in limits
        )
        writer.add_all(rows, of=tier)
    return tier


def _cors_policy(writer: RowWriter) -> CorsPolicy:
    settings = conf.current()
    key_header, id_header = settings.api_key_header, settings.request_id_header
    policy, _ = writer.get_or_create(
        CorsPolicy,
        {"name": CORS_POLICY},
        allowed_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allowed_headers=["Authorization", "Content-Type", key_header, id_header, "X-API-Version"],
        exposed_headers=[id_header, "Retry-After", *RATE_LIMIT_HEADERS],
        allow_credentials=True,
        max_age=DAY,
    )
    return policy


def _route_name(prefix: str) -> str:
    exists = Route.objects.using(write_alias()).filter(name=ROUTE_NAME).exists()
    return prefix if exists else ROUTE_NAME
