"""Observing changes nothing but the request id; what is off is not there."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from apiguard.models import Route
from apiguard.policy import holder as held
from apiguard.policy.holder import PolicyUnavailable
from apiguard.request.verdict import Outcome
from apiguard.telemetry.buffer import buffer
from tests.request.site import (
    ALLOWED,
    DOORS,
    FOREIGN,
    Call,
    Caller,
    cookie_free,
    cors,
    guarded,
    headers,
    issuer,
    route,
    tier,
)

# What would be refused, and as what.
REFUSED = [
    pytest.param(
        Call("OPTIONS", headers={"Origin": FOREIGN, "Access-Control-Request-Method": "PUT"}),
        Outcome.PREFLIGHT_FOREIGN_ORIGIN,
        id="preflight",
    ),
    pytest.param(Call(headers={"Origin": FOREIGN}), Outcome.FOREIGN_ORIGIN, id="origin"),
    pytest.param(
        Call("POST", headers={"Content-Length": "x"}), Outcome.BAD_CONTENT_LENGTH, id="length"
    ),
    pytest.param(Call(headers={"Host": "evil.example"}), Outcome.HOST_NOT_ALLOWED, id="host"),
    pytest.param(Call("DELETE"), Outcome.METHOD_NOT_LISTED, id="method"),
    pytest.param(
        Call("POST", body=b"x", content_type="text/plain"),
        Outcome.MEDIA_TYPE_NOT_ACCEPTED,
        id="media type",
    ),
    pytest.param(Call("POST", body=b"x" * 11), Outcome.BODY_TOO_LARGE, id="body"),
    pytest.param(Call(headers={"Accept": "text/html"}), Outcome.NOT_ACCEPTABLE, id="accept"),
    pytest.param(Call(headers={"X-API-Key": ""}), Outcome.CREDENTIAL_MALFORMED, id="malformed"),
    pytest.param(
        Call(headers={"X-API-Key": "a", "Authorization": "Bearer b"}),
        Outcome.TWO_CREDENTIALS,
        id="two",
    ),
    pytest.param(Call(headers={"X-API-Key": "a"}), Outcome.KEY_MALFORMED, id="bad key"),
    pytest.param(
        Call(headers={"Authorization": "Bearer a.b.c"}), Outcome.TOKEN_REFUSED, id="bad token"
    ),
    pytest.param(Call(), Outcome.NO_CREDENTIAL, id="no credential"),
    pytest.param(Call(path="/api/fails"), Outcome.NO_CREDENTIAL, id="a view that fails"),
    pytest.param(Call(path="/api/nowhere"), Outcome.NO_CREDENTIAL, id="no view"),
    pytest.param(Call(path="/api/get-only"), Outcome.NO_CREDENTIAL, id="a simple view"),
    pytest.param(Call("POST", "/api/protected"), Outcome.NO_CREDENTIAL, id="CSRF"),
    pytest.param(Call(path="/api/streaming"), Outcome.NO_CREDENTIAL, id="streaming"),
    pytest.param(Call(path="/api/drf"), Outcome.NO_CREDENTIAL, id="DRF"),
    pytest.param(Call(path="/api/drf/open"), Outcome.NO_CREDENTIAL, id="DRF, open"),
    pytest.param(
        Call(path="/api/decorated?Access-Control-Allow-Origin=*&X-Powered-By=x"),
        Outcome.NO_CREDENTIAL,
        id="headers of the view",
    ),
]


def strict_rows(mode):
    """Everything that a route can refuse or change."""
    policy = cors(ALLOWED)
    rules = headers(
        ("X-Frame-Options", "DENY", "force", "always"),
        ("X-Powered-By", "", "remove", "always"),
    )
    limits = tier("anonymous", 100)
    row = route(
        mode=mode,
        access="credentials",
        methods=["GET", "POST"],
        accepts=["application/json"],
        produces=["application/json"],
        max_body_bytes=10,
        required_scopes=["orders:write"],
        cors_policy=policy[0],
        header_policy=rules[0],
        anonymous_tier=limits[0],
    )
    return [row, *policy, *rules, *limits, issuer()]


def _answer(door, call, *rows):
    with guarded(*rows):
        return DOORS[door](call.but({"X-Request-ID": "the-id"}))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("call", "outcome"), REFUSED)
def test_an_observing_route_changes_nothing(door, call, outcome):
    without = _answer(door, call)
    observed = _answer(door, call, *strict_rows(Route.Mode.OBSERVE))
    assert observed.status_code == without.status_code
    assert observed.headers["X-Request-ID"] == "the-id"
    assert cookie_free(observed) == cookie_free(without)
    assert observed.getvalue() == without.getvalue()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("call", "outcome"), REFUSED)
def test_an_observing_route_tells_what_it_would_have_refused(door, call, outcome):
    rows = strict_rows(Route.Mode.OBSERVE)
    _answer(door, call, *rows)
    assert dict(buffer._pending.refused) == {(rows[0].pk, str(outcome), False): 1}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("call", "outcome"), REFUSED)
def test_an_enforcing_route_tells_what_it_refused(door, call, outcome):
    rows = strict_rows(Route.Mode.ENFORCE)
    response = _answer(door, call, *rows)
    assert response.status_code in (400, 401, 403, 405, 406, 413, 415)
    assert dict(buffer._pending.refused) == {(rows[0].pk, str(outcome), True): 1}


def test_an_observed_preflight_is_the_view_s_to_answer():
    call = Call("OPTIONS", headers={"Origin": ALLOWED, "Access-Control-Request-Method": "GET"})
    response = _answer("wsgi", call, *strict_rows(Route.Mode.OBSERVE))
    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf/open", "/api/nowhere"])
@pytest.mark.parametrize("access", ["public", "application", "credentials"])
def test_an_observed_limit_is_counted_and_refuses_nothing(path, access):
    limits = tier("standard", 1)
    caller = Caller(tier=limits[0])
    rows = [
        route(mode=Route.Mode.OBSERVE, access=access, anonymous_tier=limits[0]),
        *limits,
        *caller.rows,
    ]
    call = Call(path=path)
    if access == "credentials":
        call = call.but({"X-API-Key": caller.text})
    with guarded(*rows):
        answers = [call.wsgi() for _ in range(3)]
    assert {response.status_code for response in answers} <= {200, 404}
    assert all("RateLimit" not in response.headers for response in answers)
    assert dict(buffer._pending.refused) == {(rows[0].pk, "limit_exceeded", False): 2}


def test_an_observed_credential_is_not_handed_to_a_django_view():
    caller = Caller()
    with guarded(route(mode=Route.Mode.OBSERVE), *caller.rows):
        plain = Call(headers={"X-API-Key": caller.text}).wsgi()
        drf = Call(path="/api/drf", headers={"X-API-Key": caller.text}).wsgi()
        post = Call("POST", "/api/protected", {"X-API-Key": caller.text}).wsgi()
    assert plain.json()["type"] == "AnonymousUser"
    assert drf.json()["type"] == "ClientUser"
    assert post.status_code == 403


def test_an_observed_broken_route_serves():
    with guarded(route(mode=Route.Mode.OBSERVE, methods=["get"])):
        assert Call().wsgi().status_code == 200


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf/open"])
def test_an_observed_bad_key_refuses_nobody(path):
    with guarded(route(mode=Route.Mode.OBSERVE, access="credentials")):
        response = Call(path=path, headers={"X-API-Key": "ag_x"}).wsgi()
    assert response.status_code == 200


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("call", "outcome"), REFUSED)
def test_a_route_that_is_off_is_not_there(door, call, outcome):
    without = _answer(door, call)
    off = _answer(door, call, *strict_rows(Route.Mode.OFF))
    assert off.status_code == without.status_code
    assert cookie_free(off) == cookie_free(without)
    assert dict(buffer._pending.refused) == {}


def test_under_a_route_that_is_off_a_shorter_one_does_hold():
    rows = [route(access="credentials"), route("/api/plain", mode=Route.Mode.OFF)]
    with guarded(*rows):
        assert Call().wsgi().status_code == 401


# -- where nothing can be judged ------------------------------------------------


@pytest.fixture
def unreadable(monkeypatch):
    def snapshot():
        raise PolicyUnavailable

    monkeypatch.setattr(held.holder, "ready", lambda: None)
    monkeypatch.setattr(held.holder, "snapshot", snapshot)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/plain", "/open/plain", "/nowhere"])
def test_without_any_policy_everything_is_503(door, path, unreadable):
    with guarded():
        response = DOORS[door](Call(path=path, headers={"X-Request-ID": "the-id"}))
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.headers["X-Request-ID"] == "the-id"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The service is unavailable, try again later",
        "error": "service_unavailable",
        "message": "The service is unavailable, try again later",
        "requestId": "the-id",
        "retryAfter": 1,
    }


@pytest.mark.parametrize("door", DOORS)
def test_without_any_policy_an_exempt_path_is_served(door, unreadable):
    with guarded(EXEMPT_PATHS=["/api/get-only"]):
        response = DOORS[door](Call(path="/api/get-only"))
    assert response.status_code == 200
    assert "X-Request-ID" not in response.headers


@pytest.mark.parametrize("format_", ["problem", "simple"])
def test_without_any_policy_drf_alone_says_the_same(format_, unreadable):
    headers_ = {"X-Request-ID": "the-id", "X-API-Key": "ag_x"}
    with guarded(middleware=False, ERROR_FORMAT=format_):
        alone = Call(path="/api/drf/open", headers=headers_).wsgi()
    with guarded(ERROR_FORMAT=format_):
        through = Call(path="/api/drf/open", headers=headers_).wsgi()
    assert (alone.status_code, alone.headers["Retry-After"]) == (503, "1")
    assert alone.content == through.content


@pytest.mark.parametrize("door", DOORS)
def test_before_migrate_the_middleware_steps_aside(door, monkeypatch):
    monkeypatch.setattr(held.holder, "ready", lambda: None)
    monkeypatch.setattr(held.holder, "snapshot", lambda: None)
    with guarded():
        response = DOORS[door](Call(path="/api/drf/open"))
    assert response.status_code == 200


def test_a_broken_route_is_503_below_its_prefix_alone():
    rows = [route(methods=["get"]), route("/open/")]
    with guarded(*rows):
        broken, fine = Call().wsgi(), Call(path="/open/plain").wsgi()
    assert (broken.status_code, fine.status_code) == (503, 200)
    assert broken.headers["Retry-After"] == str(broken.json()["retryAfter"])


@pytest.mark.parametrize("path", ["/api/plain", "/api/drf/open"])
def test_a_bad_key_is_told_so_under_a_broken_route_too(path):
    with guarded(route(methods=["get"])):
        assert Call(path=path, headers={"X-API-Key": "ag_x"}).wsgi().status_code == 401


def test_a_broken_tier_breaks_the_route_that_counts_in_it():
    limits = tier("anonymous", 0)
    with guarded(route(anonymous_tier=limits[0]), *limits):
        assert Call().wsgi().status_code == 503


@pytest.mark.parametrize("middleware", [True, False])
def test_a_client_in_a_broken_tier_is_503(middleware):
    limits = tier("standard", 0)
    caller = Caller(tier=limits[0])
    with guarded(route(), *limits, *caller.rows, middleware=middleware):
        call = Call(path="/api/drf", headers={"X-API-Key": caller.text})
        response = call.wsgi()
    assert response.status_code == 503
    assert response.json()["error"] == "service_unavailable"
    assert response.headers["Retry-After"] == "10"


def test_a_database_that_is_away_does_not_stop_held_keys(monkeypatch):
    def away(*_):
        raise OperationalError

    from apiguard.policy import load

    for name in ("key", "user", "state", "rows"):
        monkeypatch.setattr(load, name, away)
    caller = Caller()
    with guarded(route(access="credentials"), *caller.rows):
        assert Call(headers={"X-API-Key": caller.text}).wsgi().status_code == 200
