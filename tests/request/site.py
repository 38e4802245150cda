"""A small guarded site for the tests of the doors: its policy, and ways to ask."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import jwt
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import AsyncClient, Client, RequestFactory, override_settings

from apiguard import conf
from apiguard.models import (
    AllowedOrigin,
    ApiKey,
    CorsPolicy,
    HeaderPolicy,
    JwtIssuer,
    Limit,
    ResponseHeader,
    Route,
    Tier,
)
from apiguard.models import Client as ClientRow
from apiguard.policy.holder import holder
from apiguard.policy.keyring import Keyring
from apiguard.policy.snapshot import Snapshot
from apiguard.request.context import GuardContext
from apiguard.request.facts import facts_of
from apiguard.testing import make_key, snapshot_of

MIDDLEWARE = [
    "apiguard.middleware.ApiGuardMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
WITHOUT_OURS = MIDDLEWARE[1:]

KEY_ID_NOBODY_HAS = "0" * 12

ALLOWED = "https://app.example.com"
FOREIGN = "https://evil.example"


# -- policy ---------------------------------------------------------------------


def tier(slug: str = "tier", *amounts: int, **fields: Any) -> list[Any]:
    """A tier with one limit an hour for each of ``amounts``; the tier comes first."""
    row = Tier(slug=slug, name=slug)
    return [
        row,
        *(
            Limit(tier=row, name=f"{slug}-{number}", amount=amount, period=3600, **fields)
            for number, amount in enumerate(amounts, 1)
        ),
    ]


def cors(*patterns: str, **fields: Any) -> list[Any]:
    """A CORS policy and its origins; the policy comes first."""
    values = {
        "name": "browsers",
        "allowed_methods": ["GET", "PUT"],
        "allowed_headers": ["Authorization", "X-API-Key"],
        "exposed_headers": ["X-Request-ID", "Retry-After"],
        "max_age": 600,
    }
    row = CorsPolicy(**{**values, **fields})
    return [row, *(AllowedOrigin(policy=row, pattern=pattern) for pattern in patterns)]


def headers(*rules: tuple[str, str, str, str]) -> list[Any]:
    """A header policy of (name, value, mode, condition) rules; the policy comes first."""
    row = HeaderPolicy(name="api")
    return [
        row,
        *(
            ResponseHeader(policy=row, name=name, value=value, mode=mode, condition=condition)
            for name, value, mode, condition in rules
        ),
    ]


def route(prefix: str = "/api/", **fields: Any) -> Route:
    """A route that enforces nothing but what ``fields`` say."""
    return Route(**{"name": prefix, "path_prefix": prefix, "access": "public", **fields})


def issuer(**fields: Any) -> JwtIssuer:
    """An issuer whose secret is among the settings of the tests."""
    values = {
        "name": "tests",
        "issuer": "https://issuer.example",
        "audiences": ["orders"],
        "algorithms": ["HS256"],
        "secret_name": "demo",
    }
    return JwtIssuer(**{**values, **fields})


def token(
    *, secret: str | None = None, algorithm: str = "HS256", kid: str | None = None, **claims: Any
) -> str:
    """A good token of ``issuer()``; a claim given as ``None`` is left out."""
    now = int(time.time())
    values = {
        "iss": "https://issuer.example",
        "aud": "orders",
        "sub": "alice",
        "iat": now,
        "exp": now + 600,
        "scope": "orders:read orders:write",
        **claims,
    }
    key = secret or django_settings.APIGUARD["JWT_SECRETS"]["demo"]
    return jwt.encode(
        {name: value for name, value in values.items() if value is not None},
        "" if algorithm == "none" else key,
        algorithm=algorithm,
        headers={"kid": kid} if kid else None,
    )


def tampered(text: str) -> str:
    """A token whose payload is not the one that was signed."""
    head, payload, signature = text.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["sub"] = "mallory"
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{changed}.{signature}"


@dataclass
class Caller:
    """A client with one key, and a token's subject beside it."""

    scopes: tuple[str, ...] = ("orders:read",)
    tier: Tier | None = None
    key_fields: dict[str, Any] = field(default_factory=dict)
    client_fields: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = {"slug": "acme", "name": "ACME", "tier": self.tier, **self.client_fields}
        self.client = ClientRow(**values)
        self.row: ApiKey
        self.row, self.text = make_key(self.client, "k", self.scopes, **self.key_fields)

    @property
    def rows(self) -> list[Any]:
        return [self.client, self.row]


# -- asking ---------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One request, whichever door it goes through."""

    method: str = "GET"
    path: str = "/api/plain"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = "application/json"
    secure: bool = False

    def but(self, headers: dict[str, str] | None = None, **changes: Any) -> Call:
        """The same call with something changed; headers are added."""
        return replace(self, headers={**self.headers, **(headers or {})}, **changes)

    def _arguments(self) -> dict[str, Any]:
        return {
            "data": self.body,
            "content_type": self.content_type,
            "secure": self.secure,
            "headers": self.headers,
        }

    def request(self) -> Any:
        """A WSGI request that no middleware has seen."""
        return RequestFactory().generic(self.method, self.path, **self._arguments())

    def wsgi(self, client: Client | None = None) -> Any:
        client = client or Client(raise_request_exception=False, enforce_csrf_checks=True)
        return client.generic(self.method, self.path, **self._arguments())

    def asgi(self, client: AsyncClient | None = None) -> Any:
        client = client or AsyncClient(raise_request_exception=False, enforce_csrf_checks=True)

        async def ask() -> Any:
            return await client.generic(self.method, self.path, **self._arguments())

        return async_to_sync(ask)()

    def context(self, snapshot: Snapshot, settings: conf.Settings | None = None) -> GuardContext:
        """The request at the beginning of its way, without any door."""
        request = self.request()
        settings = settings or conf.current()
        facts = facts_of(request.META, self.method, settings, secure=self.secure)
        route = snapshot.routes.find(request.path_info)
        return GuardContext(facts, settings, snapshot, route, "the-id")


DOORS: dict[str, Callable[[Call], Any]] = {"wsgi": Call.wsgi, "asgi": Call.asgi}


def settings_of(**members: Any) -> dict[str, Any]:
    """The APIGUARD dict of the tests with some members replaced."""
    return {**django_settings.APIGUARD, **members}


@contextmanager
def guarded(
    *rows: Any, middleware: bool = True, look_up: bool = False, **members: Any
) -> Iterator[Snapshot]:
    """This site, guarded by these rows; ``members`` are members of ``APIGUARD``.

    Rows may be broken. With ``look_up`` no key is held, so each has to be looked up.
    """
    with (
        override_settings(
            ROOT_URLCONF="tests.request.views",
            MIDDLEWARE=MIDDLEWARE if middleware else WITHOUT_OURS,
            APIGUARD=settings_of(**members),
        ),
    ):
        snapshot = snapshot_of(*rows)
        if look_up:
            snapshot = replace(snapshot, keyring=Keyring())
        with holder.override(snapshot):
            yield snapshot


@contextmanager
def no_connection_looked_at() -> Iterator[None]:
    """As Django's own test client does: whole handlers close old connections."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


def close(response: Any) -> None:
    """Close a response that the test client has closed once, and watches no more."""
    with no_connection_looked_at():
        response.close()


def cookie_free(response: Any) -> dict[str, str]:
    """The response's headers in lower case, without what differs every time."""
    return {
        name.lower(): value
        for name, value in response.headers.items()
        if name.lower() not in ("x-request-id", "date")
    }


CHALLENGE = 'Bearer realm="api", ApiKey realm="api"'
BAD_TOKEN = (
    'Bearer realm="api", error="invalid_token", '
    'error_description="The access token is invalid", ApiKey realm="api"'
)
EXPIRED_TOKEN = BAD_TOKEN.replace("The access token is invalid", "The access token expired")
BAD_KEY = 'ApiKey realm="api", error="invalid_token", Bearer realm="api"'
BAD_KEY_AS_BEARER = 'Bearer realm="api", error="invalid_token", ApiKey realm="api"'
MALFORMED = 'Bearer realm="api", error="invalid_request", ApiKey realm="api"'
MALFORMED_KEY = 'ApiKey realm="api", error="invalid_request", Bearer realm="api"'
