"""Rows for the desk, and the people who look at it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client as Browser

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

pytestmark = pytest.mark.django_db


@pytest.fixture
def tier(db):
    tier = Tier.objects.create(slug="free", name="Free")
    Limit.objects.create(tier=tier, name="per-minute", amount=60, period=60)
    return tier


@pytest.fixture
def acme(tier):
    return Client.objects.create(slug="acme", name="Acme", tier=tier)


@pytest.fixture
def key(acme):
    return ApiKey.objects.issue(acme, "laptop", ["orders:read"])[0]


@pytest.fixture
def cors(db):
    policy = CorsPolicy.objects.create(name="browsers", allow_credentials=True)
    AllowedOrigin.objects.create(policy=policy, pattern="https://app.example.com")
    return policy


@pytest.fixture
def headers(db):
    policy = HeaderPolicy.objects.create(name="secure")
    ResponseHeader.objects.create(policy=policy, name="X-Frame-Options", value="DENY", mode="force")
    return policy


@pytest.fixture
def route(tier, cors, headers):
    return Route.objects.create(
        name="api",
        path_prefix="/api/",
        mode="observe",
        required_scopes=["orders:read"],
        methods=["GET", "POST"],
        accepts=["application/json"],
        max_body_bytes=2**20,
        cors_policy=cors,
        header_policy=headers,
        anonymous_tier=tier,
    )


@pytest.fixture
def issuer(tier):
    return JwtIssuer.objects.create(
        name="demo",
        issuer="https://issuer.example",
        audiences=["api"],
        algorithms=["HS256"],
        secret_name="demo",
        tier=tier,
    )


@pytest.fixture
def policy(route, key, issuer, admin_user):
    """One row of every kind, the last one changed by ``admin``."""
    with acting(admin_user):
        route.save()
    return {
        "route": route,
        "corspolicy": route.cors_policy,
        "allowedorigin": route.cors_policy.origins.get(),
        "headerpolicy": route.header_policy,
        "tier": route.anonymous_tier,
        "client": key.client,
        "apikey": key,
        "jwtissuer": issuer,
    }


@pytest.fixture
def staff(db):
    """Sign in somebody of the staff who has only these permissions."""

    def sign_in(*codenames: str, name: str = "somebody") -> Browser:
        user = User.objects.create_user(name, is_staff=True)
        wanted = Permission.objects.filter(
            codename__in=codenames, content_type__app_label="apiguard"
        )
        assert wanted.count() == len(codenames)
        user.user_permissions.set(wanted)
        browser = Browser()
        browser.force_login(user)
        return browser

    return sign_in


@pytest.fixture
def viewer(staff):
    return staff(
        *Permission.objects.filter(
            codename__startswith="view_", content_type__app_label="apiguard"
        ).values_list("codename", flat=True)
    )
