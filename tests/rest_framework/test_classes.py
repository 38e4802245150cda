"""The DRF classes adopt what the middleware decided, and decide it themselves without it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from rest_framework.permissions import AllowAny, IsAdminUser
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory, force_authenticate

from apiguard.request.at_view import context_of
from apiguard.request.verdict import ADMITTED, Outcome, Verdict
from apiguard.rest_framework.context import RequestRefused
from apiguard.rest_framework.permissions import HasScope
from apiguard.rest_framework.throttling import TierThrottle
from apiguard.telemetry.buffer import buffer
from tests.request import views
from tests.request.site import CHALLENGE, Call, Caller, guarded, issuer, route, tier, token

MIDDLEWARE = pytest.mark.parametrize("middleware", [True, False], ids=["with", "without"])


def by(caller, path="/api/drf"):
    return Call(path=path, headers={"X-API-Key": caller.text, "X-Request-ID": "the-id"})


# -- beside the project's own classes ---------------------------------------------


@MIDDLEWARE
@pytest.mark.parametrize(
    ("rows", "sent", "expected"),
    [
        pytest.param([], {}, (403, None), id="no route"),
        pytest.param([route(access="public")], {}, (403, None), id="public"),
        pytest.param([route(access="application")], {}, (403, None), id="application"),
        pytest.param([route(access="credentials", mode="observe")], {}, (403, None), id="observed"),
        pytest.param([route(access="credentials")], {}, (401, CHALLENGE), id="credentials"),
        pytest.param([], {"X-API-Key": "their own"}, (403, None), id="a key of another shape"),
        pytest.param([], {"Authorization": "Bearer theirs"}, (403, None), id="a token of theirs"),
    ],
)
def test_the_challenge_is_that_of_the_project_s_own_first_class(middleware, rows, sent, expected):
    # Sessions have no challenge, so DRF answers 403.
    with guarded(*rows, middleware=middleware):
        response = Call(path="/api/drf", headers=sent).wsgi()
    assert (response.status_code, response.headers.get("WWW-Authenticate")) == expected


# -- without the middleware -----------------------------------------------------


@pytest.mark.parametrize("path", ["/api/drf", "/api/drf/open"])
def test_drf_alone_refuses_what_the_route_asks_for(path):
    caller = Caller()
    rows = [route(access="credentials", required_scopes=["orders:write"]), *caller.rows]
    with guarded(*rows, middleware=False):
        nobody, lacking = Call(path=path).wsgi(), by(caller, path).wsgi()
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, CHALLENGE)
    assert lacking.status_code == 403
    assert lacking.json()["error"] == "insufficient_permissions"
    assert lacking.headers["WWW-Authenticate"] == (
        'ApiKey realm="api", error="insufficient_scope", scope="orders:write"'
    )


def test_drf_alone_answers_503_under_a_broken_route():
    with guarded(route(methods=["get"]), middleware=False):
        response = Call(path="/api/drf/open").wsgi()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")


@pytest.mark.parametrize("access", ["public", "application", "credentials"])
def test_drf_alone_counts_in_tiers(access):
    limits = tier("anonymous", 1)
    mine = tier("standard", 2)
    caller = Caller(tier=mine[0])
    rows = [route(access=access, anonymous_tier=limits[0]), *limits, *mine, *caller.rows]
    with guarded(*rows, middleware=False):
        mine = [by(caller, "/api/drf/open").wsgi().status_code for _ in range(3)]
        nobody = [Call(path="/api/drf/open").wsgi().status_code for _ in range(2)]
    assert mine == [200, 200, 429]
    assert nobody == ([401, 401] if access == "credentials" else [200, 429])


def test_drf_alone_counts_a_client_where_no_route_is():
    limits = tier("standard", 1)
    caller = Caller(tier=limits[0])
    with guarded(*limits, *caller.rows, middleware=False):
        answers = [by(caller).wsgi().status_code for _ in range(2)]
    assert answers == [200, 429]


def test_drf_alone_uses_up_the_cost_of_the_route():
    limits = tier("standard", 10)
    caller = Caller(tier=limits[0])
    with guarded(route(cost=5), *limits, *caller.rows, middleware=False):
        answers = [by(caller).wsgi().status_code for _ in range(3)]
    assert answers == [200, 200, 429]


def test_drf_alone_notes_that_a_key_was_used():
    caller = Caller()
    with guarded(route(), *caller.rows, middleware=False):
        by(caller).wsgi()
    assert set(buffer._pending.used) == {caller.row.pk}


def test_a_view_without_our_classes_is_not_touched_by_them():
    with guarded(route(access="credentials"), middleware=False):
        response = Call(path="/api/drf/raises/conflict").wsgi()
    assert response.status_code == 409


def test_drf_alone_under_an_observing_route_refuses_nothing():
    limits = tier("anonymous", 1)
    row = route(mode="observe", access="credentials", anonymous_tier=limits[0])
    with guarded(row, *limits, middleware=False):
        calls = [Call(path="/api/drf/open", headers={"X-API-Key": "x"}) for _ in range(3)]
        answers = [call.wsgi().status_code for call in calls]
    assert answers == [200, 200, 200]


# -- request.auth, request.user -------------------------------------------------


@MIDDLEWARE
def test_request_auth_is_the_key_s_record_or_the_claims(middleware):
    caller = Caller()
    with guarded(route(), issuer(), *caller.rows, middleware=middleware):
        key = by(caller).wsgi().json()
        bearer = Call(path="/api/drf", headers={"Authorization": f"Bearer {token()}"})
        claims = bearer.wsgi().json()
        nobody = Call(path="/api/drf/open").wsgi().json()
    assert (key["auth"], key["type"]) == ("KeyRecord", "ClientUser")
    assert (claims["auth"], claims["type"]) == ("dict", "TokenUser")
    assert (nobody["auth"], nobody["type"]) == ("NoneType", "AnonymousUser")


def test_request_apiguard_says_what_is_known():
    limits = tier("standard", 5)
    caller = Caller(scopes=("orders:read",), tier=limits[0], client_fields={"metadata": {"a": 1}})
    rows = [route(access="credentials"), *limits, *caller.rows, issuer()]
    with guarded(*rows):
        guard = by(caller).wsgi().wsgi_request.apiguard
        bearer = Call(headers={"Authorization": f"Bearer {token(extra=[1])}"})
        claims = bearer.wsgi().wsgi_request.apiguard
    assert guard.request_id == "the-id"
    assert guard.route.name == "/api/"
    assert guard.principal == f"client:{caller.client.pk}"
    assert (guard.client.slug, guard.client.metadata) == ("acme", {"a": 1})
    assert (guard.auth.name, guard.auth.environment) == ("k", "live")
    assert guard.claims is None
    assert guard.scopes == {"orders:read"}
    assert guard.verdict == ADMITTED
    assert guard.tier == "standard"
    assert claims.client is None
    assert claims.claims["extra"] == [1]
    assert claims.auth == claims.claims
    assert caller.row.digest not in repr(guard.auth)


def test_forced_authentication_of_drf_s_test_tools_goes_on_working():
    request = APIRequestFactory().get("/api/drf")
    force_authenticate(request, User(username="bob", pk=5))
    with guarded(route()):
        response = views.Seen.as_view()(request)
    assert response.status_code == 200
    assert response.data["user"] == "bob"


# -- HasScope -------------------------------------------------------------------


@MIDDLEWARE
@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        ((), 403),
        (("orders:read",), 403),
        (("orders:read", "orders:write"), 200),
        (("orders:read", "orders:write", "more"), 200),
        (("ORDERS:READ", "orders:write"), 403),
    ],
)
def test_all_scopes_are_needed(middleware, scopes, status):
    caller = Caller(scopes=scopes)
    with guarded(route(), *caller.rows, middleware=middleware):
        response = by(caller, "/api/drf/scoped").wsgi()
    assert response.status_code == status
    if status == 403:
        assert response.json()["error"] == "insufficient_permissions"
        assert response.headers["WWW-Authenticate"] == (
            'ApiKey realm="api", error="insufficient_scope", scope="orders:read orders:write"'
        )


@MIDDLEWARE
@pytest.mark.parametrize("mode", ["enforce", "observe", "off"])
def test_a_view_s_scopes_hold_whatever_mode_the_route_is_in(middleware, mode):
    caller = Caller()
    with guarded(route(mode=mode), *caller.rows, middleware=middleware):
        assert by(caller, "/api/drf/scoped").wsgi().status_code == 403


@MIDDLEWARE
def test_a_session_has_no_scopes(middleware, db):
    client = Client()
    client.force_login(User.objects.create_user("olga"))
    with guarded(route(), middleware=middleware):
        response = Call(path="/api/drf/scoped").wsgi(client)
    assert response.status_code == 403
    assert response.headers["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="orders:read orders:write"'
    )


@MIDDLEWARE
def test_without_a_credential_a_scope_is_a_401(middleware):
    with guarded(route(), middleware=middleware):
        response = Call(path="/api/drf/scoped").wsgi()
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, CHALLENGE)


@MIDDLEWARE
@pytest.mark.parametrize(
    ("claim", "status"),
    [
        ("orders:read orders:write", 200),
        (["orders:read", "orders:write"], 200),
        ("orders:read", 403),
        (None, 403),
        (5, 403),
    ],
)
def test_a_token_s_scopes_are_those_of_its_claim(middleware, claim, status):
    with guarded(route(), issuer(), middleware=middleware):
        headers = {"Authorization": f"Bearer {token(scope=claim)}"}
        assert Call(path="/api/drf/scoped", headers=headers).wsgi().status_code == status


def test_a_refusal_by_a_view_is_recorded():
    caller = Caller()
    row = route()
    with guarded(row, *caller.rows):
        by(caller, "/api/drf/scoped").wsgi()
    assert dict(buffer._pending.refused) == {(row.pk, "scope_missing", True): 1}


def test_one_instance_is_the_permission_of_every_view():
    permission = HasScope("a")
    assert permission() is permission


@pytest.mark.parametrize(
    ("combined", "status"),
    [
        pytest.param(HasScope("orders:read") & AllowAny, 200, id="and, first"),
        pytest.param(AllowAny & HasScope("orders:read"), 200, id="and, last"),
        pytest.param(HasScope("orders:read") & IsAdminUser, 403, id="and not an admin"),
        pytest.param(AllowAny & HasScope("orders:write"), 403, id="and not the scope"),
        pytest.param(IsAdminUser | HasScope("orders:read"), 200, id="or the scope"),
        pytest.param(IsAdminUser | HasScope("orders:write"), 403, id="or neither"),
    ],
)
def test_has_scope_combines_with_other_permissions(monkeypatch, combined, status):
    caller = Caller()
    monkeypatch.setattr(views.Scoped, "permission_classes", [combined])
    with guarded(route(), *caller.rows):
        assert by(caller, "/api/drf/scoped").wsgi().status_code == status


# -- RequestRefused --------------------------------------------------------------------


def test_an_admitting_verdict_is_no_exception():
    with pytest.raises(ValueError, match="admitting"):
        RequestRefused(Verdict(Outcome.ADMITTED))


def test_a_refusal_carries_what_drf_s_own_handler_looks_for():
    verdict = Verdict(
        Outcome.LIMIT_EXCEEDED, retry_after=7, headers=(("WWW-Authenticate", "Bearer"),)
    )
    refused = RequestRefused(verdict)
    assert (refused.status_code, refused.wait, refused.auth_header) == (429, 7, "Bearer")


def test_a_context_is_made_once_and_kept_on_django_s_request():
    with guarded(route()):
        request = RequestFactory().get("/api/drf", headers={"X-Request-ID": "the-id"})
        first, second = context_of(request), context_of(request)
    assert first is second is request.apiguard
    assert first.request_id == "the-id"
    assert first.route.prefix == "/api/"


def test_the_throttle_counts_a_request_once():
    limits = tier("anonymous", 2)
    with guarded(route(anonymous_tier=limits[0]), *limits):
        request = Request(RequestFactory().get("/api/drf"))
        assert all(TierThrottle().allow_request(request, None) for _ in range(5))


@pytest.mark.parametrize(
    ("path", "auth"),
    [
        pytest.param("/api/drf/keys", ["KeyRecord", "NoneType"], id="keys alone"),
        pytest.param("/api/drf/tokens", ["NoneType", "dict"], id="tokens alone"),
    ],
)
def test_a_class_takes_its_own_kind_of_credential_alone(path, auth):
    caller = Caller()
    with guarded(route(), issuer(), *caller.rows, middleware=False):
        key = by(caller, path).wsgi()
        bearer = Call(path=path, headers={"Authorization": f"Bearer {token()}"}).wsgi()
    assert [response.json()["auth"] for response in (key, bearer)] == auth
