"""The rows of the demonstration: who may call the orders API, and how often.

Each row is looked up by its name and created only if it is missing, so a second
run adds nothing twice and keeps every edit. Keys and the password are stored as
digests: each run issues new ones and revokes the earlier keys.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import jwt
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import transaction
from django.utils import timezone

from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    Client,
    CorsPolicy,
    HeaderPolicy,
    JwtIssuer,
    Limit,
    ResponseHeader,
    Route,
    Tier,
    acting,
)
from apiguard.rules.rates import AT_ONCE_PERIOD
from apiguard.transfer.baseline import write_baseline

ISSUER = "apiguard-demo"
AUDIENCE = "apiguard-demo-clients"
SCOPES = ("orders:read", "orders:write")
TOKEN_LIFETIME = timedelta(days=1)
KEY_NAME = "demo"
RESERVED_TOKENS = 1_000
ADMIN = "admin"

ORIGINS = (
    "https://app.example.com",
    "https://dashboard.example.com",
    "https://*.preview.example.com",
)

# Swagger UI writes style attributes and inlines its icons; its scripts are all files.
DOCS_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCS_HEADERS = {
    "Content-Security-Policy": DOCS_CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Login:
    """The admin user and its password."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The address and the credentials of the demonstration; shown once."""

    base_url: str
    admin: Login
    api_keys: dict[str, str]
    jwt: str

    def as_dict(self) -> dict[str, Any]:
        """Return the same values as a dict that JSON can hold."""
        return asdict(self)


def set_up(base_url: str) -> Demonstration:
    """Create the rows that are missing, and issue new credentials.

    Args:
        base_url: the address of the site, without a trailing slash.

    Raises:
        CommandError: ``JWT_SECRET`` is not set.
    """
    secret = settings.APIGUARD.get("JWT_SECRETS", {}).get("demo")
    if not secret:
        raise CommandError("JWT_SECRET is not set; the demo signs its token with it.")
    call_command("migrate", verbosity=0, interactive=False)
    with acting(name="manage.py demo"), transaction.atomic():
        write_baseline("/api/", enforce=True)
        _origins()
        _routes()
        _issuer()
        keys = {
            "acme": _key(_client("acme", "Acme", "standard"), SCOPES),
            "hobby": _key(_client("hobby", "Hobby", "free"), SCOPES[:1]),
        }
        password = _admin()
    return Demonstration(base_url, Login(ADMIN, password), keys, token(secret))


def _api_route() -> Route:
    return Route.objects.get(path_prefix="/api/")


def _origins() -> None:
    policy = _api_route().cors_policy or CorsPolicy.objects.get(name="browser-apps")
    for pattern in ORIGINS:
        AllowedOrigin.objects.get_or_create(policy=policy, pattern=pattern)


def _routes() -> None:
    api = _api_route()
    _route(
        "health",
        "/health",
        access=Route.Access.PUBLIC,
        methods=["GET"],
        # A health check sends no body.
        max_body_bytes=0,
        header_policy=api.header_policy,
        cors_policy=api.cors_policy,
        anonymous_tier=Tier.objects.get(slug="anonymous"),
    )
    _route("export", "/api/export", **{**_fields_of(api), "cost": 10})
    # It streams text, and a stream ends where its client has enough.
    _route(
        "complete",
        "/api/complete",
        **{
            **_fields_of(api),
            "methods": ["POST"],
            "produces": [],
            "reserve": {"tokens": RESERVED_TOKENS},
        },
    )
    _route("report", "/api/report", **{**_fields_of(api), "methods": ["GET"]})
    _limits()
    headers = _docs_headers()
    for name in ("docs", "schema"):
        _route(
            name,
            f"/api/{name}/",
            access=Route.Access.PUBLIC,
            methods=["GET"],
            header_policy=headers,
        )


def _fields_of(route: Route) -> dict[str, Any]:
    """Return what a copy of the route under another prefix has in common with it."""
    own = {"id", "name", "path_prefix", "revision"}
    names = [field.name for field in Route._meta.concrete_fields if field.name not in own]
    return {name: getattr(route, name) for name in names}


def _limits() -> None:
    """Limit tokens of the tier ``standard``, and its reports that run at once."""
    tier = Tier.objects.get(slug="standard")
    tokens = {"amount": 10_000, "period": 60, "unit": "tokens"}
    at_once = {"kind": Limit.Kind.CONCURRENT, "amount": 2, "period": AT_ONCE_PERIOD}
    for name, route, fields in (
        ("tokens-per-minute", "complete", tokens),
        ("reports-at-once", "report", at_once),
    ):
        where = Route.objects.get(path_prefix=f"/api/{route}/")
        Limit.objects.get_or_create(tier=tier, name=name, defaults={**fields, "route": where})


def _route(name: str, prefix: str, **fields: Any) -> None:
    defaults = {"mode": Route.Mode.ENFORCE, **fields, "name": name}
    Route.objects.get_or_create(path_prefix=prefix, defaults=defaults)


def _docs_headers() -> HeaderPolicy:
    policy, _ = HeaderPolicy.objects.get_or_create(name="docs")
    for name, value in DOCS_HEADERS.items():
        ResponseHeader.objects.get_or_create(
            policy=policy,
            name=name,
            defaults={"value": value, "mode": ResponseHeader.Mode.FORCE},
        )
    return policy


def _issuer() -> None:
    JwtIssuer.objects.get_or_create(
        name="demo",
        defaults={
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "algorithms": ["HS256"],
            "secret_name": "demo",
            "tier": Tier.objects.get(slug="standard"),
        },
    )


def _client(slug: str, name: str, tier: str) -> Client:
    defaults = {"name": name, "tier": Tier.objects.get(slug=tier)}
    client: Client = Client.objects.get_or_create(slug=slug, defaults=defaults)[0]
    return client


def _key(client: Client, scopes: tuple[str, ...]) -> str:
    for earlier in ApiKey.objects.filter(client=client, name=KEY_NAME, revoked_at=None):
        earlier.revoke("replaced by a later run of the demo")
    _, text = ApiKey.objects.issue(client, KEY_NAME, scopes=scopes)
    return str(text)


def _admin() -> str:
    password = secrets.token_urlsafe(16)
    user, _ = get_user_model().objects.get_or_create(username=ADMIN)
    user.is_staff = user.is_superuser = user.is_active = True
    user.set_password(password)
    user.save()
    return password


def token(secret: str) -> str:
    """Sign a token of the issuer ``demo`` for ``alice``, valid for a day (RFC 7519)."""
    now = timezone.now()
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "scope": " ".join(SCOPES),
        "iat": now,
        "exp": now + TOKEN_LIFETIME,
        "jti": secrets.token_urlsafe(16),
    }
    return jwt.encode(claims, secret, algorithm="HS256")
