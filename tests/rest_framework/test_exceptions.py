"""Every error of DRF in the shape of the middleware's, with and without it."""

from __future__ import annotations

import json

import pytest
from rest_framework import exceptions
from rest_framework.response import Response

from apiguard.rest_framework import exceptions as handled
from apiguard.rest_framework.exceptions import exception_handler
from tests.request.site import DOORS, Call, Caller, guarded, headers, route, tier

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"
MIDDLEWARE = pytest.mark.parametrize("middleware", [True, False], ids=["with", "without"])


def problem(status, title, error, detail, **more):
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "error": error,
        "message": detail,
        "requestId": "the-id",
        **more,
    }


def ask(path, *rows, method="GET", body=b"", middleware=True, **sent):
    members = {name: sent.pop(name) for name in list(sent) if name.isupper()}
    call = Call(method, path, {"X-Request-ID": "the-id", **sent.get("headers", {})}, body)
    with guarded(*(rows or [route()]), middleware=middleware, **members):
        return call.wsgi()


RAISED = [
    pytest.param(
        "conflict",
        problem(409, "Conflict", "already_there", "It is there already."),
        id="the view's own",
    ),
    pytest.param(
        "denied",
        problem(
            403,
            "Forbidden",
            "forbidden",
            "You do not have permission to perform this action.",
        ),
        id="permission denied",
    ),
    pytest.param(
        "django-denied",
        problem(
            403,
            "Forbidden",
            "forbidden",
            "You do not have permission to perform this action.",
        ),
        id="permission denied, by Django",
    ),
    pytest.param("not-found", problem(404, "Not Found", "not_found", "Not found."), id="not found"),
    pytest.param(
        "http404",
        problem(404, "Not Found", "not_found", "Not found."),
        id="not found, by Django",
    ),
    pytest.param(
        "parse",
        problem(400, "Bad Request", "invalid_request", "Malformed request."),
        id="malformed",
    ),
    pytest.param(
        "throttled",
        problem(
            429,
            "Too Many Requests",
            "throttled",
            "Request was throttled. Expected available in 3 seconds.",
            retryAfter=3,
        ),
        id="another throttle",
    ),
]


@MIDDLEWARE
@pytest.mark.parametrize(("name", "expected"), RAISED)
def test_an_error_of_drf_is_a_problem(middleware, name, expected):
    response = ask(f"/api/drf/raises/{name}", middleware=middleware)
    assert response.status_code == expected["status"]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert list(json.loads(response.content).items()) == list(expected.items())


@MIDDLEWARE
@pytest.mark.parametrize(("name", "expected"), RAISED)
def test_an_error_of_drf_in_the_simple_format(middleware, name, expected):
    response = ask(f"/api/drf/raises/{name}", middleware=middleware, ERROR_FORMAT="simple")
    assert response.headers["Content-Type"] == "application/json"
    kept = ("error", "message", "requestId", "retryAfter")
    assert response.json() == {name: expected[name] for name in kept if name in expected}


@MIDDLEWARE
def test_the_wait_of_another_throttle_is_sent(middleware):
    response = ask("/api/drf/raises/throttled", middleware=middleware)
    assert response.headers["Retry-After"] == "3"
    assert response.json()["retryAfter"] == 3


@MIDDLEWARE
def test_another_throttle_goes_on_working(middleware):
    with guarded(route(), middleware=middleware):
        first, second = (Call(path="/api/drf/throttled").wsgi() for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 429)
    assert int(second.headers["Retry-After"]) > 3000
    assert "violated-policies" not in second.json()


@MIDDLEWARE
def test_a_method_that_the_view_does_not_have(middleware):
    response = ask("/api/drf/open", method="DELETE", middleware=middleware)
    assert response.status_code == 405
    assert response.json()["error"] == "method_not_allowed"
    assert response.headers["Allow"] == "GET, POST, HEAD, OPTIONS"


@MIDDLEWARE
def test_nothing_that_the_view_renders_is_acceptable(middleware):
    response = ask("/api/drf/open", headers={"Accept": "image/png"}, middleware=middleware)
    assert (response.status_code, response.json()["error"]) == (406, "not_acceptable")
    assert response.headers["Content-Type"] == "application/problem+json"


@MIDDLEWARE
def test_a_media_type_that_the_view_does_not_parse(middleware):
    with guarded(route(), middleware=middleware):
        call = Call("POST", "/api/drf/open", body=b"x", content_type="text/csv")
        response = call.wsgi()
    assert (response.status_code, response.json()["error"]) == (415, "unsupported_media_type")


@MIDDLEWARE
def test_authentication_failed_in_a_class_of_the_project(middleware):
    with guarded(route(), middleware=middleware):
        call = Call(path="/api/drf/own", headers={"Authorization": "Bearer nope"})
        response = call.wsgi()
    assert (response.status_code, response.json()["error"]) == (401, "authentication_failed")
    assert response.json()["detail"] == "Not one of mine"
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api", ApiKey realm="api"'


@MIDDLEWARE
@pytest.mark.parametrize("format_", ["problem", "simple"])
def test_a_validation_error_keeps_its_fields(middleware, format_):
    response = ask(
        "/api/drf/raises",
        method="POST",
        body=b'{"amount": 0}',
        middleware=middleware,
        ERROR_FORMAT=format_,
    )
    assert response.status_code == 400
    answer = response.json()
    assert answer["error"] == "invalid_request"
    assert answer["message"] == "The request is invalid"
    assert answer["errors"] == {
        "name": ["This field is required."],
        "amount": ["Ensure this value is greater than or equal to 1."],
    }


@MIDDLEWARE
def test_a_body_that_is_not_json(middleware):
    response = ask("/api/drf/raises", method="POST", body=b"{", middleware=middleware)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert "errors" not in response.json()


@MIDDLEWARE
@pytest.mark.parametrize("path", ["/api/drf/raises/denied", "/api/drf", "/api/drf/raises"])
def test_a_person_at_the_browsable_api_still_sees_html(middleware, path, db):
    method = "POST" if path == "/api/drf/raises" else "GET"
    response = ask(
        path, method=method, body=b"", headers={"Accept": BROWSER}, middleware=middleware
    )
    assert response.status_code in (400, 401, 403)
    assert response.headers["Content-Type"].startswith("text/html")
    assert b"invalid_request" in response.content or b"requestId" in response.content


@pytest.mark.parametrize("door", DOORS)
def test_an_exception_that_drf_does_not_handle_is_django_s(door):
    with guarded(route()):
        response = DOORS[door](Call(path="/api/drf/raises/unhandled"))
    assert (response.status_code, response.json()["error"]) == (500, "internal_error")
    assert response.json()["detail"] == "An error occurred"


def test_what_drf_does_not_handle_is_not_handled():
    assert exception_handler(RuntimeError("x"), {"request": None}) is None
    assert exception_handler(RuntimeError("x"), {}) is None


def test_without_a_request_drf_s_own_shape_is_kept():
    response = exception_handler(exceptions.NotFound(), {})
    assert isinstance(response, Response)
    assert response.data == {"detail": "Not found."}


@pytest.mark.parametrize("detail", [["a", "b"], {"a": 1}, {"detail": ["x"]}, {"detail": {}}, 5])
def test_whatever_an_exception_holds_is_a_problem(detail):
    class Odd(exceptions.APIException):
        status_code = 418
        default_code = "odd"

    exc = Odd()
    exc.detail = detail
    with guarded(route()) as snapshot:
        request = Call().request()
        request.apiguard = Call().passage(snapshot)
        wrapped = type("R", (), {"_request": request})()
        response = exception_handler(exc, {"request": wrapped})
    assert response.status_code == 418
    assert response.data["error"] == "odd"
    assert isinstance(response.data["detail"], str)


@MIDDLEWARE
def test_the_transaction_is_rolled_back(middleware, monkeypatch):
    from rest_framework import views

    called = []
    monkeypatch.setattr(views, "set_rollback", lambda: called.append(True))
    ask("/api/drf/raises/denied", middleware=middleware)
    assert called == [True]


def test_a_problem_of_drf_gets_the_headers_of_the_route():
    rules = headers(("X-Frame-Options", "DENY", "force", "always"))
    response = ask("/api/drf/raises/denied", route(header_policy=rules[0]), *rules)
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Request-ID"] == "the-id"


@pytest.mark.parametrize("accept", ["*/*", BROWSER])
def test_a_refusal_without_our_handler_keeps_status_challenge_and_wait(accept, monkeypatch):
    from rest_framework.views import exception_handler as drf_handler

    from tests.request import views

    monkeypatch.setattr(views.Seen, "get_exception_handler", lambda _: drf_handler)
    limits = tier("standard", 1)
    caller = Caller(tier=limits[0])
    rows = [*limits, *caller.rows]
    key = {"X-API-Key": caller.text}
    with guarded(*rows, middleware=False):
        answers = [Call(path="/api/drf/open", headers=key).wsgi() for _ in range(2)]
        bad = Call(path="/api/drf/open", headers={"X-API-Key": "x"}).wsgi()
    assert [response.status_code for response in answers] == [200, 429]
    assert 3000 <= int(answers[1].headers["Retry-After"]) <= 3600
    assert bad.status_code == 401
    assert bad.headers["WWW-Authenticate"].startswith('ApiKey realm="api", error="invalid_token"')


def test_the_response_keeps_its_data_for_tests_and_signals():
    response = ask("/api/drf/raises/denied")
    assert response.data["error"] == "forbidden"
    assert isinstance(response, handled.ProblemResponse)
