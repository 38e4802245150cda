"""The recommended policy to start from: one route, and everything it refers to.

Nothing that exists is touched. A tier, policy or route that is found by its
natural name is taken as it stands, with the limits and headers that staff
left in it; only what is missing is made, all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

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

# Slug -> limits: name, amount, seconds.
TIERS: Mapping[str, tuple[tuple[str, int, int], ...]] = {
    "anonymous": (("per-minute", 60, MINUTE),),
    "free": (("per-minute", 100, MINUTE),),
    "standard": (("per-minute", 1_000, MINUTE), ("per-day", 50_000, DAY)),
}

_FORCE, _DEFAULT = ResponseHeader.Mode.FORCE, ResponseHeader.Mode.DEFAULT
_REMOVE = ResponseHeader.Mode.REMOVE
_ALWAYS, _HTTPS = ResponseHeader.Condition.ALWAYS, ResponseHeader.Condition.HTTPS

API_CSP = "default-src 'none'; frame-ancestors 'none'"

# What a page could ask the device for; no response of an API is such a page.
FEATURES = (
    *("accelerometer", "autoplay", "camera", "display-capture", "encrypted-media", "fullscreen"),
    *("geolocation", "gyroscope", "magnetometer", "microphone", "midi", "payment"),
    *("picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "sync-xhr", "usb"),
    *("web-share", "xr-spatial-tracking"),
)

# Header policy -> name, value, mode, condition. docs/headers.md says where each comes from.
PRESETS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "api": (
        # Forced, because Django's own middleware sets some of them before apiguard does.
        ("X-Content-Type-Options", "nosniff", _FORCE, _ALWAYS),
        ("Referrer-Policy", "strict-origin-when-cross-origin", _FORCE, _ALWAYS),
        ("X-Frame-Options", "DENY", _FORCE, _ALWAYS),
        ("Strict-Transport-Security", "max-age=31536000; includeSubDomains", _FORCE, _HTTPS),
        ("X-Powered-By", "", _REMOVE, _ALWAYS),
        # Left to a view that knows better: a cacheable response, a page with scripts.
        (
            "Cache-Control",
            "no-store, no-cache, must-revalidate, proxy-revalidate",
            _DEFAULT,
            _ALWAYS,
        ),
        ("Pragma", "no-cache", _DEFAULT, _ALWAYS),
        ("Expires", "0", _DEFAULT, _ALWAYS),
        ("Content-Security-Policy", API_CSP, _DEFAULT, _ALWAYS),
    ),
    # Whatever the views say. Not preload: that binds the whole domain, for years.
    "strict": (
        ("Cache-Control", "no-store", _FORCE, _ALWAYS),
        ("Content-Security-Policy", API_CSP, _FORCE, _ALWAYS),
        ("Strict-Transport-Security", "max-age=63072000; includeSubDomains", _FORCE, _HTTPS),
        ("X-Content-Type-Options", "nosniff", _FORCE, _ALWAYS),
        ("X-Frame-Options", "DENY", _FORCE, _ALWAYS),
        ("Permissions-Policy", ", ".join(f"{name}=()" for name in FEATURES), _FORCE, _ALWAYS),
        ("Referrer-Policy", "no-referrer", _FORCE, _ALWAYS),
        ("Cross-Origin-Opener-Policy", "same-origin", _FORCE, _ALWAYS),
        ("Cross-Origin-Resource-Policy", "same-origin", _FORCE, _ALWAYS),
        *((name, "", _REMOVE, _ALWAYS) for name in ("Server", "X-Powered-By", "X-XSS-Protection")),
    ),
}

RATE_LIMIT_HEADERS = (
    *(f"X-RateLimit-{part}" for part in ("Limit", "Remaining", "Reset")),
    *(f"RateLimit-{part}" for part in ("Limit", "Remaining", "Reset", "Policy")),
    "RateLimit",
)


def write_baseline(prefix: str = "/api/", enforce: bool = False, preset: str = "api") -> list[str]:
    """Make what is missing of the recommended policy, in one transaction.

    Args:
        prefix: the path prefix of the route.
        enforce: whether a route that is made refuses anything; else it observes.
        preset: which of ``PRESETS`` a route that is made sends; the header policy
            has the same name.

    Returns:
        One line per row that was made; none if everything was there.

    Raises:
        PathError: no request can have this prefix.
        ValidationError: a row of somebody else stands in the way.
    """
    prefix = normalise_prefix(prefix)
    try:
        return _write(prefix, enforce, preset)
    except (IntegrityError, ValidationError):
        # Somebody made the same rows at this moment. Now they can be seen.
        return _write(prefix, enforce, preset)


def _write(prefix: str, enforce: bool, preset: str) -> list[str]:
    with transaction.atomic(using=write_alias()):
        writer = RowWriter()
        headers = _header_policy(writer, preset)
        tiers = {slug: _tier(writer, slug) for slug in TIERS}
        cors = _cors_policy(writer)
        writer.get_or_create(
            Route,
            {"path_prefix": prefix},
            name=_route_name(prefix),
            mode=Route.Mode.ENFORCE if enforce else Route.Mode.OBSERVE,
            access=Route.Access.CREDENTIALS,
            accepts=[JSON],
            produces=[JSON],
            max_body_bytes=MAX_BODY_BYTES,
            cors_policy=cors,
            header_policy=headers,
            anonymous_tier=tiers["anonymous"],
            user_tier=tiers["free"],
        )
    return writer.created


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
            ResponseHeader(policy=policy, name=name, value=value, mode=mode, condition=condition)
            for name, value, mode, condition in PRESETS[preset]
        )
        writer.add_all(rows, of=policy)
    return policy


def _tier(writer: RowWriter, slug: str) -> Tier:
    tier, new = writer.get_or_create(Tier, {"slug": slug}, name=slug.capitalize())
    if new:
        limits = (
            Limit(tier=tier, name=name, amount=amount, period=period)
            for name, amount, period in TIERS[slug]
        )
        writer.add_all(limits, of=tier)
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
    taken = Route.objects.using(write_alias()).filter(name=ROUTE_NAME).exists()
    return prefix if taken else ROUTE_NAME
