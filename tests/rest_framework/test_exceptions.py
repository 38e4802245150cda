"""Every error of DRF in the shape of the middleware's, with and without it."""

from __future__ import annotations

import json
import logging

import pytest
from django.test import override_settings
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_handler

from apiguard.policy.holder import holder
from apiguard.rest_framework import exceptions as handled
from apiguard.rest_framework.exceptions import exception_handler
from apiguard.telemetry.buffer import buffer
from tests.request import views
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
    assert response.headers["WWW-Authenticate"] == "Bearer", "as without apiguard"


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
        request.apiguard = Call().context(snapshot)
        wrapped = type("R", (), {"_request": request})()
        response = exception_handler(exc, {"request": wrapped})
    assert response.status_code == 418
    assert response.data["error"] == "odd"
    assert isinstance(response.data["detail"], str)


@MIDDLEWARE
def test_the_transaction_is_rolled_back(middleware, monkeypatch):
    called = []
    monkeypatch.setattr("rest_framework.views.set_rollback", lambda: called.append(True))
    ask("/api/drf/raises/denied", middleware=middleware)
    assert called == [True]


def test_a_problem_of_drf_gets_the_headers_of_the_route():
    rules = headers(("X-Frame-Options", "DENY", "force", "always"))
    response = ask("/api/drf/raises/denied", route(header_policy=rules[0]), *rules)
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Request-ID"] == "the-id"


@pytest.mark.parametrize("accept", ["*/*", BROWSER])
def test_a_refusal_without_our_handler_keeps_status_challenge_and_wait(accept, monkeypatch):
    monkeypatch.setattr(views.Seen, "get_exception_handler", lambda _: drf_handler)
    limits = tier("standard", 1)
    caller = Caller(tier=limits[0])
    rows = [*limits, *caller.rows]
    key = {"X-API-Key": caller.text}
    with guarded(*rows, middleware=False):
        answers = [Call(path="/api/drf/open", headers=key).wsgi() for _ in range(2)]
        bad = Call(path="/api/drf/open", headers={"X-API-Key": "ag_x"}).wsgi()
    assert [response.status_code for response in answers] == [200, 429]
    assert 3000 <= int(answers[1].headers["Retry-After"]) <= 3600
    assert bad.status_code == 401
    assert bad.headers["WWW-Authenticate"].startswith('ApiKey realm="api", error="invalid_token"')


def test_the_response_keeps_its_data_for_tests_and_signals():
    response = ask("/api/drf/raises/denied")
    assert response.data["error"] == "forbidden"
    assert isinstance(response, handled.ProblemResponse)


@MIDDLEWARE
@pytest.mark.parametrize("debug", [True, False])
def test_the_text_of_a_500_is_the_log_s(middleware, debug, caplog):
    with override_settings(DEBUG=debug):
        response = ask("/api/drf/raises/server-error", middleware=middleware)
    detail = "a text for the log alone" if debug else "An error occurred"
    expected = problem(500, "Internal Server Error", "internal_error", detail)
    assert json.loads(response.content) == expected
    assert "a text for the log alone" in caplog.text


@MIDDLEWARE
def test_a_view_that_is_away_says_so_itself(middleware):
    response = ask("/api/drf/raises/unavailable", middleware=middleware)
    assert (response.status_code, response.json()["detail"]) == (503, "Closed on Sundays.")


@MIDDLEWARE
@pytest.mark.parametrize(
    ("path", "accept", "html"),
    [
        pytest.param("/api/drf/raises", BROWSER, True, id="a browser"),
        pytest.param("/api/drf/raises?format=api", BROWSER, True, id="a browser that insists"),
        pytest.param("/api/drf/raises?format=api", "*/*", False, id="a program that insists"),
        pytest.param("/api/drf/raises?format=json", BROWSER, False, id="a browser that wants JSON"),
        pytest.param("/api/drf/raises", "text/html;q=0.1, */*", False, id="rather not HTML"),
        pytest.param("/api/drf/admin", BROWSER, True, id="the admin renderer"),
    ],
)
def test_html_is_for_those_who_ask_for_it(middleware, path, accept, html):
    sent = {"method": "POST", "body": b"{}", "headers": {"Accept": accept}}
    response = ask(path, middleware=middleware, **sent)
    assert response.status_code == 400
    assert response.headers["Content-Type"].startswith("text/html") == html
    if not html:
        assert set(response.json()["errors"]) == {"name", "amount"}


@MIDDLEWARE
@pytest.mark.parametrize("accept", ["*/*", BROWSER])
@pytest.mark.parametrize("path", ["/api/drf/raises/conflict", "/api/drf/scoped", "/api/drf/none"])
def test_every_error_carries_its_request_id(middleware, accept, path):
    with guarded(route(access="credentials"), middleware=middleware):
        call = Call(path=path, headers={"Accept": accept, "X-Request-ID": "the-id"})
        response = call.wsgi()
    drf = middleware or path != "/api/drf/none"
    assert response.headers.get("X-Request-ID") == ("the-id" if drf else None)


def test_an_exempt_path_gets_no_header():
    response = ask("/api/drf/raises/conflict", EXEMPT_PATHS=["/api/drf/"])
    assert (response.status_code, response.json()["requestId"]) == (409, "the-id")
    assert "X-Request-ID" not in response.headers


def test_an_error_asks_nothing_of_the_database(monkeypatch):
    def away():
        raise AssertionError("the transaction may be broken")

    monkeypatch.setattr(holder, "ready", away)
    monkeypatch.setattr(holder, "snapshot", away)
    assert ask("/api/drf/raises/conflict", middleware=False).status_code == 409


# -- who is told ----------------------------------------------------------------


def told(caplog):
    return [
        (record.apiguard_outcome, record.apiguard_route, record.apiguard_enforced)
        for record in caplog.records
        if record.name == "apiguard.refusals"
    ]


REFUSED = [
    pytest.param({"X-API-Key": "x"}, "/api/drf", "key_malformed", id="a bad key"),
    pytest.param({}, "/api/drf", "no_credential", id="none"),
    pytest.param({"X-API-Key": "good"}, "/api/drf/scoped", "scope_missing", id="a view's scope"),
    pytest.param({"X-API-Key": "spent"}, "/api/drf/open", "limit_exceeded", id="a limit"),
]


@MIDDLEWARE
@pytest.mark.parametrize("handler", ["ours", "DRF's"])
@pytest.mark.parametrize(("sent", "path", "outcome"), REFUSED)
def test_a_refusal_is_reported_once(middleware, handler, sent, path, outcome, caplog, monkeypatch):
    if handler == "DRF's":
        monkeypatch.setattr(views.Seen, "get_exception_handler", lambda _: drf_handler)
    limits, caller, row = tier("standard", 1), Caller(), route(access="credentials")
    spent = Caller(tier=limits[0], client_fields={"slug": "spent"})
    keys = {"good": caller.text, "spent": spent.text}
    call = Call(path=path, headers={name: keys.get(value, value) for name, value in sent.items()})
    with (
        guarded(row, *limits, *caller.rows, *spent.rows, middleware=middleware),
        caplog.at_level(logging.INFO, "apiguard.refusals"),
    ):
        if outcome == "limit_exceeded":
            call.wsgi()
        call.wsgi()
    expected, counted = [(outcome, "/api/", True)], [outcome]
    if handler == "DRF's" and outcome == "scope_missing":
        # Raised by a permission, which DRF also asks where nothing is refused: all that the
        # middleware sees is the view's answer.
        expected, counted = [], ["view_answered"] if middleware else []
    assert told(caplog) == expected
    assert dict(buffer._pending.refused) == {(row.pk, each, True): 1 for each in counted}
    assert [each.outcome for each in buffer.refusals._sample.take(0).kept] == counted


@pytest.mark.parametrize("middleware", [True, False])
def test_a_refusal_where_no_route_is_is_reported(middleware, caplog):
    with (
        guarded(route("/elsewhere/"), middleware=middleware),
        caplog.at_level(logging.INFO, "apiguard.refusals"),
    ):
        response = Call(path="/api/drf", headers={"X-API-Key": "ag_x"}).wsgi()
    assert response.status_code == 401
    assert told(caplog) == [("key_malformed", "", True)]


def test_what_an_observing_route_would_have_refused_is_reported(caplog):
    with (
        guarded(route(mode="observe", access="credentials"), middleware=False),
        caplog.at_level(logging.INFO, "apiguard.refusals"),
    ):
        response = Call(path="/api/drf/open", headers={"X-API-Key": "x"}).wsgi()
    assert response.status_code == 200
    assert told(caplog) == [("key_malformed", "/api/", False)]
