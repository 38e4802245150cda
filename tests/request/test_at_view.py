"""Classes and decorators at the view answer with the middleware's bytes, with it and without."""

from __future__ import annotations

import re

import pytest
from django.test import override_settings

from apiguard.telemetry.buffer import buffer
from tests.request.at_view_views import api
from tests.request.site import DOORS, Call, Caller, guarded, issuer, route, tier, token

# Where the same resource is, with and without a scope that the view asks for.
VIEWS = {
    "DRF": ("/api/drf", "/api/drf/scoped"),
    "ninja": ("/api/ninja/thing", "/api/ninja/thing/scoped"),
    "decorators": ("/api/plain/thing", "/api/plain/thing/scoped"),
}
KEPT = ("WWW-Authenticate", "Content-Type", "Retry-After", "Cache-Control")


@pytest.fixture(autouse=True)
def _views():
    with override_settings(ROOT_URLCONF="tests.request.at_view_views"):
        yield


def site(*rows, **options):
    """The guarded site, with the views of this test."""
    return _Site(guarded(*rows, **options))


class _Site:
    def __init__(self, inner):
        self._inner = inner
        self._views = override_settings(ROOT_URLCONF="tests.request.at_view_views")

    def __enter__(self):
        snapshot = self._inner.__enter__()
        self._views.enable()
        return snapshot

    def __exit__(self, *error):
        self._views.disable()
        return self._inner.__exit__(*error)


def cases(path, scoped):
    """Rows, and calls by name: each is answered in the same way whoever guards the view."""
    limits, full = tier("standard", 100), tier("full", 1)
    caller, spent = Caller(scopes=(), tier=limits[0]), Caller(tier=full[0])
    spent.client.slug = "spent"
    rows = [*limits, *full, *caller.rows, *spent.rows, issuer()]

    def by(one, where=path):
        return Call(path=where, headers={"X-API-Key": one.text})

    return rows, {
        "good key": by(caller),
        "good token": Call(path=path, headers={"Authorization": f"Bearer {token()}"}),
        "bad key": Call(path=path, headers={"X-API-Key": "x"}),
        "bad token": Call(path=path, headers={"Authorization": "Bearer a.b.c"}),
        "expired token": Call(path=path, headers={"Authorization": f"Bearer {token(exp=1)}"}),
        "malformed": Call(path=path, headers={"X-API-Key": "a b"}),
        "two": Call(path=path, headers={"X-API-Key": "a", "Authorization": "Bearer b"}),
        "nobody": Call(path=path),
        "a view's scope": by(caller, scoped),
        "limit": by(spent),
    }


NAMES = list(cases("", "")[1])


def answer(view, name, middleware, format_="problem", access="credentials", door=Call.wsgi):
    rows, calls = cases(*VIEWS[view])
    call = calls[name].but({"X-Request-ID": "the-id"})
    with site(route(access=access), *rows, middleware=middleware, ERROR_FORMAT=format_):
        response = [door(call) for _ in range(2)][-1]
    body = b"" if response.status_code == 200 else response.content
    # Each view asks for a scope of its own.
    stable = re.sub(rb"client:\d+", b"client", body)
    sent = {header: response.headers.get(header) for header in KEPT}
    if response.status_code == 200:
        del sent["Content-Type"], sent["Cache-Control"]
    challenge = re.sub(r'scope="[^"]*"', "", sent["WWW-Authenticate"] or "")
    return response.status_code, stable, {**sent, "WWW-Authenticate": challenge}


@pytest.mark.parametrize("format_", ["problem", "simple"])
@pytest.mark.parametrize("name", NAMES)
def test_every_entrance_sends_the_same_bytes(name, format_):
    answers = {
        (view, middleware): answer(view, name, middleware, format_)
        for view in VIEWS
        for middleware in (True, False)
    }
    expected = answers["DRF", True]
    assert answers == dict.fromkeys(answers, expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("view", VIEWS)
def test_without_a_route_the_views_refuse_in_their_own_right(view, name):
    rows, calls = cases(*VIEWS[view])
    with site(*rows, middleware=True):
        with_it = [calls[name].wsgi() for _ in range(2)][-1]
    rows, calls = cases(*VIEWS[view])
    with site(*rows, middleware=False):
        without = [calls[name].wsgi() for _ in range(2)][-1]
    assert with_it.status_code == without.status_code
    assert (with_it.status_code == 200) is name.startswith("good")


@pytest.mark.parametrize("middleware", [True, False])
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_an_asynchronous_operation_is_guarded_too(door, middleware):
    rows, calls = cases("/api/ninja/thing/asynchronous", "")
    with site(route(access="application"), *rows, middleware=middleware):
        statuses = {name: [door(calls[name]).status_code for _ in range(2)] for name in NAMES[:9]}
        spent = [door(calls["limit"]).status_code for _ in range(2)]
    assert (statuses["good key"], statuses["nobody"]) == ([200, 200], [401, 401])
    assert spent == [200, 429]


@pytest.mark.parametrize("middleware", [True, False])
def test_other_errors_of_ninja_have_the_same_shape(middleware):
    rows, calls = cases("/api/ninja/thing/order", "")
    with site(*rows, middleware=middleware):
        response = calls["good key"].but(method="POST", body=b'{"quantity": "x"}').wsgi()
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert (problem["error"], problem["errors"][0]["loc"]) == (
        "unprocessable_content",
        ["body", "body", "quantity"],
    )


@pytest.mark.parametrize("middleware", [True, False])
def test_an_api_that_keeps_its_shape_of_errors_keeps_the_status(middleware):
    rows, calls = cases("/api/old/thing", "")
    with site(*rows, middleware=middleware):
        statuses = {name: calls[name].wsgi().status_code for name in NAMES[:9]}
    assert statuses["bad key"] == statuses["nobody"] == 401
    assert statuses["good key"] == 200


def test_the_schema_names_the_credentials_and_the_refusals():
    schema = api.get_openapi_schema(path_prefix="/api/ninja/")
    schemes = schema["components"]["securitySchemes"]
    assert schemes["ApiKeyAuth"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert schemes["JWTAuth"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    guarded_, open_ = (
        schema["paths"][f"/api/ninja/thing{path}"]["get"]["responses"] for path in ("", "/open")
    )
    assert {200, 401, 403, 429} == set(guarded_)
    assert set(open_) == {200}


@pytest.mark.parametrize("middleware", [True, False])
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_a_view_s_cost_is_counted_whole(door, middleware):
    limits = tier("standard", 10)
    caller = Caller(tier=limits[0])
    call = Call(path="/api/plain/thing/costly", headers={"X-API-Key": caller.text})
    with site(route(cost=2), *limits, *caller.rows, middleware=middleware):
        answers = [door(call) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]


@pytest.mark.parametrize("view", VIEWS)
def test_a_refusal_at_the_view_is_recorded_once(view):
    for middleware in (True, False):
        buffer._reset()
        answer(view, "nobody", middleware)
        assert sum(buffer._pending.refused.values()) == 2, middleware


def test_on_an_observing_route_only_what_the_view_s_code_asks_for_is_refused():
    rows, calls = cases("/api/ninja/thing/scoped", "/api/ninja/thing/scoped")
    limits = tier("narrow", 1)
    caller = Caller(scopes=("orders:write",), tier=limits[0])
    caller.client.slug = "narrow"
    call = Call(path="/api/ninja/thing/scoped", headers={"X-API-Key": caller.text})
    with site(route(mode="observe"), *rows, *limits, *caller.rows, middleware=False):
        assert [call.wsgi().status_code for _ in range(2)] == [200, 200]
        assert calls["a view's scope"].wsgi().status_code == 403


def test_a_refusal_of_one_request_answers_no_other_request():
    limits = tier("full", 1)
    caller = Caller(tier=limits[0])
    throttled = Call(path="/api/old/thing", headers={"X-API-Key": caller.text})
    with site(route(access="public"), *limits, *caller.rows, middleware=False):
        # An API without our shape of errors leaves the verdict of its throttle behind.
        assert [throttled.wsgi().status_code for _ in range(2)] == [200, 429]
        other = Call(path="/api/ninja/thing/closed").wsgi()
    assert (other.status_code, other["Retry-After"]) == (429, "77")
    assert b"violated-policies" not in other.content
