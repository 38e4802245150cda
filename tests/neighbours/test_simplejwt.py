"""djangorestframework-simplejwt issues the tokens: its access token gets in, its refresh token not.

The two are signed with the same key and differ by one claim.
"""

from __future__ import annotations

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from rest_framework_simplejwt import tokens
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.tokens import RefreshToken, SlidingToken

from tests.request.site import Call, guarded, issuer, route

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _simplejwt(monkeypatch):
    """simplejwt as a project would set it up that names an issuer and an audience."""
    # override_settings does not reach modules that imported simplejwt's settings before.
    # A sub is a string (RFC 7519 section 4.1.2); simplejwt writes a number as a number.
    monkeypatch.setattr(tokens.api_settings, "USER_ID_CLAIM", "sub")
    monkeypatch.setattr(tokens.api_settings, "USER_ID_FIELD", "username")
    secret = django_settings.APIGUARD["JWT_SECRETS"]["demo"]
    backend = TokenBackend("HS256", secret, audience="orders", issuer="https://issuer.example")
    monkeypatch.setattr(tokens.Token, "_token_backend", backend)


@pytest.fixture
def alice():
    return get_user_model().objects.create_user("alice")


def ask(token, row, path="/api/plain"):
    with guarded(route(access="credentials"), row):
        answer = Call(path=path, headers={"Authorization": f"Bearer {token}"}).wsgi()
    return answer.status_code, answer.wsgi_request.apiguard


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf/open"])
def test_the_access_token_is_accepted_and_the_refresh_token_is_not(alice, path):
    refresh = RefreshToken.for_user(alice)
    status, guard = ask(refresh.access_token, issuer(), path)
    assert (status, guard.claims["token_type"]) == (200, "access")
    status, guard = ask(refresh, issuer(), path)
    assert (status, guard.verdict.reason) == (401, "not_an_access_token")


def test_where_subjects_are_users_the_refresh_token_is_nobody(alice):
    row = issuer(user_field="username")
    refresh = RefreshToken.for_user(alice)
    assert ask(refresh.access_token, row)[0] == 200
    assert ask(refresh, row)[0] == 401


def test_a_row_that_requires_access_refuses_sliding_tokens_too(alice):
    sliding = SlidingToken.for_user(alice)
    assert ask(sliding, issuer())[0] == 200
    row = issuer(required_claims={"token_type": "access"})
    status, guard = ask(sliding, row)
    assert (status, guard.verdict.reason) == (401, "wrong_claim")
    assert ask(RefreshToken.for_user(alice).access_token, row)[0] == 200
