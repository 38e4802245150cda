"""Tokens of common identity providers get in, and their nearest relatives do not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apiguard.models import JwtIssuer
from tests.neighbours.identity_providers import SECRETS, providers, table
from tests.request.site import Call, guarded, route

PROVIDERS = providers()
EVERY_PROVIDER = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.name)


def site(provider):
    row = JwtIssuer(name=provider.name, **provider.row)
    members = {"JWT_SECRETS": SECRETS, "FAILED_CREDENTIALS_LIMIT": None}
    return guarded(route(access="credentials"), row, **members)


def test_the_table_names_the_usual_providers():
    names = {provider.name.split()[0] for provider in PROVIDERS}
    wanted = {"Auth0", "Okta", "Entra", "Cognito", "Google", "Firebase"}
    assert names == wanted | {"Keycloak", "Supabase", "Clerk", "SAP"}


def test_every_token_of_the_table_is_judged_as_expected(settings):
    settings.APIGUARD = {**settings.APIGUARD, "JWT_SECRETS": SECRETS}
    wrong = [row for row in table() if row[2] != row[3]]
    assert wrong == []


@EVERY_PROVIDER
def test_the_row_of_a_provider_is_in_order(provider):
    with site(provider) as snapshot:
        assert snapshot.problems == ()


@EVERY_PROVIDER
def test_the_access_token_gets_in_with_its_scopes(provider):
    call = Call(headers={"Authorization": f"Bearer {provider.token()}"})
    with site(provider):
        answers = [call.wsgi(), call.asgi()]
    assert [answer.status_code for answer in answers] == [200, 200]
    guard = answers[0].wsgi_request.apiguard
    assert guard.scopes == frozenset(provider.scopes)


@EVERY_PROVIDER
def test_similar_tokens_are_refused_without_details(provider):
    with site(provider):
        for what, problem, text in provider.refused_tokens():
            answer = Call(headers={"Authorization": f"Bearer {text}"}).wsgi()
            assert answer.status_code == 401, what
            assert answer.json()["error"] == "invalid_token"
            assert problem not in answer.content.decode()
            assert answer.wsgi_request.apiguard.verdict.reason == problem


def test_a_supabase_secret_that_was_replaced_still_verifies(settings):
    (supabase,) = (one for one in PROVIDERS if one.name == "Supabase")
    text = supabase.token()
    rotated = {"supabase": ["the-new-secret-of-the-project-" * 2, SECRETS["supabase"][0]]}
    row = JwtIssuer(name="Supabase", **supabase.row)
    for secrets, status in [(rotated, 200), ({"supabase": rotated["supabase"][0]}, 401)]:
        with guarded(route(access="credentials"), row, JWT_SECRETS=secrets):
            call = Call(headers={"Authorization": f"Bearer {text}"})
            assert call.wsgi().status_code == status


def test_the_documented_claims_are_those_of_the_table():
    page = (Path(__file__).parents[2] / "docs" / "identity-providers.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for provider in PROVIDERS:
        name = provider.name.partition(" (")[0]
        (documented,) = (row for row in rows if row.split(" | ")[0].endswith(name))
        audience = provider.row.get("audience_claim", "aud")
        assert (f"audience claim `{audience}`" in documented) is (audience != "aud")
        assert set(provider.row.get("required_claims", {})) <= {
            *re.findall(r'"([^"]+)":', documented),
            "ver",
        }
