"""Rows and credentials of every case, in a database that all of them get copies of.

    python -m benchmarks.site.rows

Prints JSON: the name of a credential -> the request headers that carry it.
"""

from __future__ import annotations

import io
import json
import sys
import time
from typing import Any

import django
import jwt
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from benchmarks.site.cases import AMOUNT, ORIGINS, PERIODS, WILDCARD

GREEDY_AMOUNT, CALM_CLIENTS = 5, 10
ISSUER, AUDIENCE = "benchmark", "benchmark-clients"


def set_up() -> dict[str, dict[str, str]]:
    """Migrate, and make the rows of whatever is installed."""
    call_command("migrate", verbosity=0, interactive=False)
    made: dict[str, dict[str, str]] = {}
    if apps.is_installed("apiguard"):
        made |= guard_rows()
    if apps.is_installed("rest_framework_api_key"):
        made |= peer_rows()
    # The last one to close it makes the file whole, without a WAL beside it.
    connections.close_all()
    return made


def guard_rows() -> dict[str, dict[str, str]]:
    """The baseline, enforced, with three limits, a client with a key, and an issuer."""
    from apiguard.models import AllowedOrigin, ApiKey, Client, CorsPolicy, JwtIssuer, Limit, Tier

    for prefix in ("/api/", "/plain/", "/async/"):
        call_command(
            "apiguard", "baseline", f"--prefix={prefix}", "--enforce", stdout=io.StringIO()
        )
    cors = CorsPolicy.objects.get(name="browser-apps")
    for pattern in (*ORIGINS, WILDCARD):
        AllowedOrigin.objects.create(policy=cors, pattern=pattern)
    tier = Tier.objects.create(slug="bench", name="Bench")
    for name, period in PERIODS.items():
        Limit.objects.create(tier=tier, name=f"per-{name}", amount=AMOUNT, period=period)
    client = Client.objects.create(slug="acme", name="Acme", tier=tier)
    _, key = ApiKey.objects.issue(client, "bench", scopes=("orders:read",))
    JwtIssuer.objects.create(
        name="bench",
        issuer=ISSUER,
        audiences=[AUDIENCE],
        algorithms=["HS256"],
        secret_name="bench",  # noqa: S106 - a name in the settings
        tier=tier,
    )
    return {
        **others(tier),
        "apiguard-key": {"X-API-Key": key},
        "apiguard-jwt": {"Authorization": f"Bearer {guard_token()}"},
    }


def others(tier: Any) -> dict[str, dict[str, str]]:
    """Good clients beside the one that is measured, and one that may do next to nothing."""
    from apiguard.models import ApiKey, Client, Limit, Tier

    small = Tier.objects.create(slug="small", name="Small")
    Limit.objects.create(tier=small, name="per-day", amount=GREEDY_AMOUNT, period=86400)
    tiers = {"greedy": small, **{f"calm-{number}": tier for number in range(CALM_CLIENTS)}}
    made = {}
    for slug, of_tier in tiers.items():
        client = Client.objects.create(slug=slug, name=slug.title(), tier=of_tier)
        _, key = ApiKey.objects.issue(client, "bench")
        made[slug] = {"X-API-Key": key}
    return made


def guard_token() -> str:
    """A token of the issuer, good for a day."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 86400}
    return jwt.encode(
        {**claims, "scope": "orders:read"}, settings.APIGUARD["JWT_SECRETS"]["bench"], "HS256"
    )


def peer_rows() -> dict[str, dict[str, str]]:
    """A key and a user of the peers'."""
    from django.contrib.auth import get_user_model
    from rest_framework_api_key.models import APIKey
    from rest_framework_simplejwt.tokens import AccessToken

    _, key = APIKey.objects.create_key(name="acme")
    user = get_user_model().objects.create_user("alice")
    return {
        "peers-key": {"Authorization": f"Api-Key {key}"},
        "peers-jwt": {"Authorization": f"Bearer {AccessToken.for_user(user)}"},
    }


if __name__ == "__main__":
    django.setup()
    json.dump(set_up(), sys.stdout)
