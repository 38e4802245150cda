"""Who the view sees, and which requests are exempt from the check against forgery."""

from __future__ import annotations

import re

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import AnonymousUser, User
from django.db import OperationalError
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from rest_framework import permissions
from rest_framework.views import APIView

from apiguard.policy import load
from apiguard.request.users import ClientUser, TokenUser, token_principal
from tests.request.site import (
    BAD_KEY,
    BAD_TOKEN,
    DOORS,
    MIDDLEWARE,
    Call,
    Caller,
    guarded,
    issuer,
    route,
    token,
)

PATHS = ["/api/plain", "/api/async", "/api/drf"]
NOBODY = [ClientUser("client:acme", "client:7"), TokenUser("alice", "jwt:1:alice")]


@pytest.fixture
def owner(db):
    return User.objects.create_user("olga", is_staff=True)


def by_key(caller, path="/api/plain"):
    return Call(path=path, headers={"X-API-Key": caller.text})


def by_token(path="/api/plain", **claims):
    return Call(path=path, headers={"Authorization": f"Bearer {token(**claims)}"})


# -- rows behind credentials ----------------------------------------------------


def test_a_subject_that_looks_like_the_digest_of_another_is_somebody_else():
    hashed = token_principal(1, "\u00e9")
    assert token_principal(1, hashed.removeprefix("jwt:1:")) != hashed


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("access", ["public", "application", "credentials"])
def test_a_client_may_act_as_its_owner(owner, door, path, access):
    caller = Caller(client_fields={"owner": owner, "acts_as_owner": True})
    with guarded(route(access=access), *caller.rows):
        answer = DOORS[door](by_key(caller, path)).json()
    assert (answer["user"], answer["type"]) == ("olga", "User")
    assert answer["principal"] == f"client:{caller.client.pk}"
    assert answer.get("auser", "olga") == "olga"


def test_an_owner_costs_one_query(owner, django_assert_num_queries):
    caller = Caller(client_fields={"owner": owner, "acts_as_owner": True})
    other = Caller(client_fields={"owner": owner, "slug": "other"})
    with guarded(route(), *caller.rows, *other.rows):
        with django_assert_num_queries(1):
            by_key(caller, "/api/get-only").wsgi()
        with django_assert_num_queries(0):
            by_key(other, "/api/get-only").wsgi()


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf/open"])
def test_an_inactive_owner_is_a_bad_key(owner, path):
    owner.is_active = False
    owner.save()
    caller = Caller(client_fields={"owner": owner, "acts_as_owner": True})
    with guarded(route(access="credentials"), *caller.rows):
        response = by_key(caller, path).wsgi()
    assert (response.status_code, response.json()["error"]) == (401, "invalid_api_key")
    assert response.headers["WWW-Authenticate"] == BAD_KEY


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", PATHS)
def test_a_token_s_subject_may_be_a_user(owner, door, path):
    with guarded(route(access="credentials"), issuer(user_field="username")):
        answer = DOORS[door](by_token(path, sub="olga")).json()
    assert (answer["user"], answer["type"]) == ("olga", "User")
    assert answer["principal"].startswith("jwt:")


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf/open"])
@pytest.mark.parametrize(
    ("field", "subject", "active"),
    [
        pytest.param("username", "nobody", True, id="nobody"),
        pytest.param("username", "olga", False, id="inactive"),
        pytest.param("pk", "olga", True, id="no value of that field"),
        pytest.param("shoe_size", "olga", True, id="no such field"),
        pytest.param("pk", "9" * 60, True, id="a number too large"),
    ],
)
def test_a_subject_that_is_no_user_is_a_bad_token(owner, path, field, subject, active):
    owner.is_active = active
    owner.save()
    with guarded(route(access="credentials"), issuer(user_field=field)):
        response = by_token(path, sub=subject).wsgi()
    assert (response.status_code, response.json()["error"]) == (401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == BAD_TOKEN


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf/open"])
def test_a_user_that_cannot_be_looked_up_is_503(monkeypatch, path):
    def away(field, value):
        raise OperationalError("the database is away")

    monkeypatch.setattr(load, "user", away)
    with guarded(route(), issuer(user_field="username")):
        response = by_token(path).wsgi()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.json()["error"] == "service_unavailable"


# -- users without a row --------------------------------------------------------


@pytest.mark.parametrize("user", NOBODY, ids=["client", "token"])
def test_a_user_without_a_row_is_authenticated_and_may_nothing(user):
    assert user.is_authenticated
    assert not user.is_anonymous
    assert user.is_active
    assert not user.is_staff
    assert not user.is_superuser
    assert user.pk == user.id == user.principal
    assert user.get_username() == str(user)
    assert not user.has_perm("auth.add_user")
    assert not user.has_perms(["auth.add_user"])
    assert user.has_perms([])
    assert not user.has_module_perms("auth")


def test_users_without_a_row_are_equal_by_kind_and_name():
    assert ClientUser("a") == ClientUser("a")
    assert ClientUser("a") != TokenUser("a")
    assert ClientUser("a") != ClientUser("b")
    assert len({ClientUser("a"), ClientUser("a"), TokenUser("a")}) == 2


@pytest.mark.parametrize("user", NOBODY, ids=["client", "token"])
def test_whatever_can_be_asked_of_an_anonymous_user_can_be_asked_of_one_without_a_row(user):
    public = {name for name in dir(AnonymousUser) if not name.startswith("_")}
    writes = {"save", "delete", "set_password", "check_password"}
    assert public - writes - set(dir(user)) == set()


@pytest.mark.parametrize("user", NOBODY, ids=["client", "token"])
@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        (permissions.IsAuthenticated, True),
        (permissions.IsAuthenticatedOrReadOnly, True),
        (permissions.AllowAny, True),
        (permissions.IsAdminUser, False),
        (permissions.DjangoModelPermissions, False),
        (permissions.DjangoModelPermissionsOrAnonReadOnly, False),
    ],
)
def test_drf_permissions_can_ask_them(user, permission, allowed):
    view = APIView()
    view.queryset = User.objects.none()
    request = RequestFactory().post("/")
    request.user = user
    assert bool(permission().has_permission(request, view)) == allowed


@pytest.mark.parametrize("user", NOBODY, ids=["client", "token"])
def test_django_s_decorators_can_ask_them(user):
    def view(request):
        return HttpResponse("in")

    async def asynchronous(request):
        return HttpResponse("in")

    async def auser():
        return user

    request = RequestFactory().get("/")
    request.user, request.auser = user, auser
    assert login_required(view)(request).content == b"in"
    assert async_to_sync(login_required(asynchronous))(request).content == b"in"
    assert permission_required("auth.add_user")(view)(request).status_code == 302
    guarded_view = permission_required("auth.add_user")(asynchronous)
    assert async_to_sync(guarded_view)(request).status_code == 302


def test_templates_can_ask_them():
    caller = Caller()
    with guarded(route(), *caller.rows):
        answer = by_key(caller, "/api/templated").wsgi().content.decode()
    assert answer.startswith("client:acme|True|False|")


# -- sessions, cookies and forgery ----------------------------------------------


def _signed_in(user, kind=Client):
    client = kind(raise_request_exception=False, enforce_csrf_checks=True)
    if kind is Client:
        client.force_login(user)
    else:
        async_to_sync(client.aforce_login)(user)
    return client


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf", "/api/drf/session"])
@pytest.mark.parametrize("access", ["public", "application"])
def test_a_session_is_the_project_s_own(owner, path, access):
    with guarded(route(access=access)):
        response = Call(path=path).wsgi(_signed_in(owner))
    assert response.json()["user"] == "olga"
    assert response.json()["scopes"] == []


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf", "/api/drf/session"])
def test_a_session_is_no_credential(owner, path):
    with guarded(route(access="credentials")):
        assert Call(path=path).wsgi(_signed_in(owner)).status_code == 401


@pytest.mark.parametrize("path", ["/api/plain", "/api/async", "/api/drf"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("access", ["public", "application", "credentials"])
def test_a_key_without_a_user_row_beside_a_session_is_app_plus_user(owner, path, kind, access):
    if path == "/api/async" and access == "application":
        path = "/api/plain"  # Django's own lazy user cannot be read in an asynchronous view.
    caller = Caller()
    with guarded(route(access=access), *caller.rows):
        call, client = by_key(caller, path), _signed_in(owner, kind)
        answer = (call.wsgi(client) if kind is Client else call.asgi(client)).json()
    # Where DRF's classes may set the user, they never look at the session.
    by_class = path == "/api/drf" and access != "application"
    user = "client:acme" if by_class else "olga"
    assert (answer["user"], answer.get("auser", user)) == (user, user)
    assert answer["principal"] == f"client:{caller.client.pk}"


@pytest.mark.parametrize("path", ["/api/plain", "/api/async", "/api/drf"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_credential_with_a_user_row_goes_before_a_session(owner, path, kind):
    caller = Caller(client_fields={"owner": owner, "acts_as_owner": True})
    other = User.objects.create_user("otto")
    with guarded(route(access="application"), *caller.rows):
        call, client = by_key(caller, path), _signed_in(other, kind)
        answer = (call.wsgi(client) if kind is Client else call.asgi(client)).json()
    assert (answer["user"], answer.get("auser", "olga")) == ("olga", "olga")


@pytest.mark.parametrize(
    ("access", "acts", "session", "status"),
    [
        pytest.param("public", False, False, 200, id="a key alone"),
        pytest.param("public", False, True, 403, id="a key beside a session"),
        pytest.param("public", True, True, 200, id="a key that stands for a user, and a session"),
        pytest.param("application", False, False, 403, id="no user was replaced"),
        pytest.param("application", False, True, 403, id="application, beside a session"),
        pytest.param("application", True, True, 200, id="application, a user was replaced"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_only_where_the_credential_replaced_the_user_is_a_request_exempt(
    owner, access, acts, session, status, kind
):
    caller = Caller(client_fields={"owner": owner, "acts_as_owner": acts})
    client = kind(raise_request_exception=False, enforce_csrf_checks=True)
    if session:
        client = _signed_in(owner, kind)
    call = Call("POST", "/api/protected", {"X-API-Key": caller.text}, body=b"{}")
    with guarded(route(access=access), *caller.rows):
        response = call.wsgi(client) if kind is Client else call.asgi(client)
    assert response.status_code == status


def test_without_a_session_cookie_the_session_is_not_read():
    caller = Caller()
    with guarded(route(access="public"), *caller.rows):
        response = by_key(caller, "/api/get-only").wsgi()
    assert "Cookie" not in response.headers["Vary"]


@pytest.mark.parametrize(
    ("subject", "principal"),
    [
        ("alice", "jwt:1:alice"),
        ("auth0|a.b_c-d@e:f", "jwt:1:auth0|a.b_c-d@e:f"),
        ("a b", "jwt:1:sha256-c8687a08aa5d6ed2044328fa6a697ab8"),
        ("\u00e9", None),
        ("x" * 95, None),
    ],
)
def test_the_principal_of_a_subject_is_short_and_plain(subject, principal):
    found = token_principal(1, subject)
    assert re.fullmatch(r"[A-Za-z0-9._:@|-]{1,100}", found)
    assert found == principal or (principal is None and found.startswith("jwt:1:sha256-"))
    assert token_principal(1, subject + "x") != found


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(lambda caller: {"X-API-Key": caller.text}, 200, id="key"),
        pytest.param(lambda caller: {"Authorization": f"ApiKey {caller.text}"}, 200, id="ApiKey"),
        pytest.param(lambda _: {"Authorization": f"Bearer {token()}"}, 200, id="token"),
        pytest.param(lambda _: {}, 403, id="nothing"),
        pytest.param(lambda _: {"Authorization": "Basic eDp5"}, 403, id="not ours"),
        pytest.param(lambda _: {"Authorization": "Bearer opaque"}, 403, id="the project's"),
    ],
)
def test_a_header_credential_of_ours_is_exempt_from_the_csrf_check(door, headers, status):
    caller = Caller()
    call = Call("POST", "/api/protected", headers(caller), body=b"{}")
    with guarded(route(), issuer(), *caller.rows):
        response = DOORS[door](call)
    assert response.status_code == status
    if status == 403:
        assert response.json()["error"] == "csrf_failed"


@pytest.mark.parametrize("path", ["/api/protected", "/api/drf", "/api/drf/session"])
@pytest.mark.parametrize("access", ["public", "application"])
def test_a_cookie_is_never_exempt_from_the_csrf_check(owner, path, access):
    with guarded(route(access=access)):
        response = Call("POST", path, body=b"{}").wsgi(_signed_in(owner))
    assert response.status_code == 403
    assert response.json()["error"] == "csrf_failed"
    assert response.json()["detail"] == "CSRF verification failed"


def test_a_cookie_beside_a_foreign_header_is_not_exempt_either(owner):
    headers = {"Authorization": "Bearer opaque"}
    with guarded(route(access="application"), issuer()):
        client = _signed_in(owner)
        for path in ("/api/protected", "/api/drf", "/api/drf/session"):
            assert Call("POST", path, headers, b"{}").wsgi(client).status_code == 403


def test_a_bad_credential_beside_a_cookie_is_refused(owner):
    with guarded(route(access="application")):
        response = Call(headers={"X-API-Key": "ag_x"}).wsgi(_signed_in(owner))
    assert response.status_code == 401


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf/unthrottled", "/api/drf/session"])
def test_a_signed_in_user_is_counted_as_such_on_an_application_route(owner, path):
    with guarded(route(access="application")):
        response = Call(path=path).wsgi(_signed_in(owner))
    assert response.status_code == 200


def test_a_credential_satisfies_django_s_own_login_requirement():
    caller = Caller()
    chain = [*MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    with guarded(route(), *caller.rows), override_settings(MIDDLEWARE=chain):
        with_key, without = by_key(caller).wsgi(), Call().wsgi()
    assert (with_key.status_code, without.status_code) == (200, 302)


def test_the_same_subject_of_two_issuers_is_two_users():
    assert TokenUser("alice", "jwt:1:alice") != TokenUser("alice", "jwt:2:alice")
    assert TokenUser("alice", "jwt:1:alice") == TokenUser("alice", "jwt:1:alice")
