from __future__ import annotations

import time

import jwt
import pytest
from django.conf import settings
from django.test import override_settings

from apiguard.models import JwtIssuer

SECRET = settings.APIGUARD["JWT_SECRETS"]["demo"]


def token(run, *more):
    return run("token", "--issuer", "demo", "--sub", "alice", *more)


def read(text, **options):
    claims = jwt.decode(text, SECRET, ["HS256"], audience="orders", **options)
    return jwt.get_unverified_header(text), claims


def test_the_token_stands_alone_on_standard_output(run, issuer):
    before = int(time.time())
    said = token(run)
    header, claims = read(said.out.strip(), issuer="https://issuer.example")
    assert said.status == 0
    assert said.out.count("\n") == 1
    assert said.out.strip() not in said.err
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert set(claims) == {"iss", "aud", "sub", "iat", "exp", "jti"}
    assert (claims["aud"], claims["sub"]) == ("orders", "alice")
    assert claims["iat"] >= before
    assert claims["exp"] - claims["iat"] == 3600


def test_the_token_as_json(run, issuer):
    said = token(run, "--scope", "orders:write orders:read", "--expires-in", "60", "--json").json
    _header, claims = read(said.pop("token"))
    assert claims["exp"] - claims["iat"] == 60
    assert claims["scope"] == "orders:read orders:write"
    assert said.pop("expires_at")
    assert said == {"issuer": "demo", "sub": "alice", "scope": "orders:read orders:write"}


def test_the_scope_stands_in_the_claim_that_the_issuer_uses(run, issuer):
    JwtIssuer.objects.update(scope_claim="scp")
    _header, claims = read(token(run, "--scope", "a").out.strip())
    assert claims["scp"] == "a"
    assert "scope" not in claims


@pytest.mark.parametrize(
    "fields",
    [
        {"audience_claim": "client_id"},
        {"audience_claim": "https://acme.example/aud"},
        {"required_claims": {"token_use": "access", "tenant.id": ["t1", "t2"], "level": 1}},
        {"scope_claim": "realm_access.roles"},
        {"scope_claim": "https://acme.example/roles", "required_claims": {"a.b.c": True}},
    ],
    ids=str,
)
def test_the_token_says_what_the_row_requires(run, issuer, client, fields):
    JwtIssuer.objects.update(**fields)
    run("baseline", "--enforce")
    said = token(run, "--scope", "orders:read", "--json").json
    assert said["scope"] == "orders:read"
    answer = client.get("/api/plain", headers={"Authorization": f"Bearer {said['token']}"})
    assert answer.status_code == 200


def test_claims_that_are_in_each_others_way_are_refused(run, issuer):
    JwtIssuer.objects.update(required_claims={"sub.id": "x"})
    said = token(run)
    assert (said.status, said.out) == (2, "")
    assert "no object" in said.err


def test_the_newest_secret_signs(run, issuer, settings):
    secrets = {"demo": ["the-new-secret-" * 3, SECRET]}
    settings.APIGUARD = {**settings.APIGUARD, "JWT_SECRETS": secrets}
    text = token(run).out.strip()
    assert jwt.decode(text, secrets["demo"][0], ["HS256"], audience="orders")["sub"] == "alice"


def test_a_request_may_bring_the_token(run, issuer, client):
    run("baseline", "--enforce")
    answer = client.get("/api/plain", headers={"Authorization": f"Bearer {token(run).out.strip()}"})
    assert answer.status_code == 200
    assert answer.json()["principal"] == f"jwt:{issuer.pk}:alice"


@pytest.mark.parametrize(
    ("listed", "typ"),
    [
        pytest.param([], {"typ": "JWT"}, id="nothing listed"),
        pytest.param(["at+jwt"], {"typ": "at+jwt"}, id="RFC 9068"),
        pytest.param(["none"], {}, id="no type"),
    ],
)
def test_the_type_is_one_that_the_issuer_uses(run, issuer, listed, typ):
    JwtIssuer.objects.update(token_types=listed)
    header, _claims = read(token(run).out.strip())
    assert header == {"alg": "HS256", **typ}


def test_the_default_lifetime_is_one_that_the_issuer_allows(run, issuer):
    JwtIssuer.objects.update(max_lifetime=300)
    _header, claims = read(token(run).out.strip())
    assert claims["exp"] - claims["iat"] == 300


@pytest.mark.parametrize(
    ("fields", "arguments", "said_why"),
    [
        pytest.param(
            {"algorithms": ["RS256"], "secret_name": ""}, (), "private key", id="not an HMAC"
        ),
        pytest.param({"algorithms": 256}, (), "accepts no token", id="a broken row"),
        pytest.param({"secret_name": "gone"}, (), "no secret 'gone'", id="no secret"),
        pytest.param({"enabled": False}, (), "not enabled", id="disabled"),
        pytest.param(
            {"max_lifetime": 60}, ("--expires-in", "61"), "longest lifetime", id="too long"
        ),
        pytest.param({}, ("--scope", 'a"b'), "scope", id="a bad scope"),
        pytest.param({}, ("--sub", ""), "subject", id="an empty subject"),
        pytest.param({}, ("--sub", "s" * 256), "subject", id="a long subject"),
        pytest.param({}, ("--issuer", "dmo"), "Did you mean 'demo'?", id="unknown issuer"),
    ],
)
def test_a_token_that_would_be_refused_is_not_made(run, issuer, fields, arguments, said_why):
    if fields:
        JwtIssuer.objects.update(**fields)
    said = token(run, *arguments)
    assert (said.status, said.out) == (2, "")
    assert said_why in said.err


def test_an_unregistered_scope_is_refused_with_the_nearest(run, issuer):
    with override_settings(APIGUARD={"SCOPES": ["orders:read"], "JWT_SECRETS": {"demo": SECRET}}):
        said = token(run, "--scope", "orders:raed")
    assert said.status == 2
    assert "Did you mean 'orders:read'?" in said.err
