"""Every other refusal, and Django's own errors, in the one shape."""

from __future__ import annotations

import pytest

from tests.server.calls import new_address, request_head
from tests.server.conftest import serving

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
BOOM = "boom: this text is for the log alone"


def is_problem(answer, status, error):
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    body = answer.json()
    assert (body["status"], body["error"]) == (status, error)
    assert body["requestId"] == answer.headers["X-Request-ID"]
    return body


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        pytest.param(lambda key: {"X-API-Key": key}, "ApiKey", id="key header"),
        pytest.param(lambda key: {"Authorization": f"Bearer {key}"}, "Bearer", id="Bearer"),
    ],
)
def test_a_key_without_the_scope_may_not_write(site, headers, scheme):
    answer = site.call(
        "POST", "/api/orders", headers(site.demo.api_keys["hobby"]), json={"item": "tea"}
    )
    is_problem(answer, 403, "insufficient_permissions")
    assert answer.headers.getlist("WWW-Authenticate") == [
        f'{scheme} realm="api", error="insufficient_scope", scope="orders:write"'
    ]


def test_a_token_without_the_scope_may_not_read(site):
    token = {"Authorization": f"Bearer {site.token(scope='other')}"}
    answer = site.get("/api/orders", token)
    is_problem(answer, 403, "insufficient_permissions")
    assert 'scope="orders:read"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/api/orders", "/api/plain"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense", ""]
)
def test_a_body_that_is_not_json_is_refused(site, path, content_type):
    sent = {**site.acme, "Content-Type": content_type}
    answer = site.call("POST", path, sent, body=b"{}")
    is_problem(answer, 415, "unsupported_media_type")
    assert answer.headers["Accept"] == "application/json"


def test_a_body_over_a_mebibyte_is_refused_and_the_response_names_the_limit(site):
    head = request_head(
        "POST",
        "/api/plain",
        [*site.acme.items(), *JSON.items(), ("Content-Length", str(2**20 + 1))],
    )
    answer = site.exchange(head, b" " * (2**20 + 1))
    assert answer is not None
    assert (answer.status, b"1048576" in answer.data) == (413, True)


def test_a_body_of_a_mebibyte_is_taken(site):
    body = b'"' + b"x" * (2**20 - 2) + b'"'
    answer = site.call("POST", "/api/plain", {**site.acme, **JSON}, body=body)
    assert (answer.status, answer.json()["body_bytes"]) == (200, 2**20)


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "application/json;q=0", "x"])
def test_an_accept_header_without_a_produced_type_is_answered_406(site, accept):
    is_problem(site.get("/api/users/me", {**site.acme, "Accept": accept}), 406, "not_acceptable")


@pytest.mark.parametrize(
    "accept", ["*/*", "application/*", "application/json", "text/html, */*;q=0.1"]
)
def test_who_accepts_json_among_others_is_served(site, accept):
    assert site.get("/api/users/me", {**site.acme, "Accept": accept}).status == 200


def test_an_empty_accept_is_no_rule_at_all(site):
    assert site.get("/api/plain", {**site.acme, "Accept": ""}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        pytest.param("POST", "/health", {"GET"}, id="by the route"),
        pytest.param("DELETE", "/api/orders", {"GET", "POST"}, id="by DRF"),
        pytest.param("PUT", "/api/plain", {"GET", "POST"}, id="by Django"),
    ],
)
def test_the_response_to_a_method_that_is_not_allowed_lists_those_that_are(
    site, method, path, allowed
):
    answer = site.call(method, path, site.acme)
    is_problem(answer, 405, "method_not_allowed")
    assert {name.strip() for name in answer.headers["Allow"].split(",")} >= allowed


def test_what_does_not_exist_is_a_problem_to_programs(site):
    is_problem(site.get("/api/no-such", site.acme), 404, "not_found")


def test_what_does_not_exist_is_a_page_to_browsers(site):
    answer = site.get("/api/no-such", {**site.acme, **BROWSER})
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_who_is_nobody_does_not_learn_what_exists(site):
    is_problem(site.get("/api/no-such"), 401, "unauthorized")


def test_field_errors_of_drf_are_kept(site):
    answer = site.call("POST", "/api/orders", site.acme, json={"quantity": "many"})
    body = is_problem(answer, 400, "invalid_request")
    assert set(body["errors"]) == {"item", "quantity"}


def test_json_that_is_none_is_a_problem_too(site):
    answer = site.call("POST", "/api/orders", {**site.acme, **JSON}, body=b"{")
    is_problem(answer, 400, "invalid_request")


def test_a_host_that_is_not_served_is_refused(site):
    answer = site.get("/api/users/me", {**site.acme, "Host": "evil.example"})
    assert answer.status == 400


def test_a_failing_view_says_nothing_but_its_request_id(site):
    answer = site.get("/api/boom", {**site.acme, "X-Request-ID": "boom-1"})
    assert is_problem(answer, 500, "internal_error")["requestId"] == "boom-1"
    assert answer.json()["detail"] == "An error occurred"
    assert BOOM not in answer.data.decode()
    assert BOOM in site.server.log()


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_a_failing_view_says_more_to_developers(own_demo, kind):
    with serving(kind, own_demo.with_env(DEBUG="true"), workers=1) as site:
        told = is_problem(site.get("/api/boom", site.acme), 500, "internal_error")
        page = site.get("/api/boom", {**site.acme, **BROWSER})
    assert BOOM in told["detail"]
    assert page.status == 500
    assert page.headers["Content-Type"].startswith("text/html")
    assert BOOM in page.data.decode()


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "+5", "5, 6", "x"])
def test_a_malformed_length_is_a_bad_request(site, length):
    headers = [*site.acme.items(), *JSON.items(), ("X-Forwarded-For", new_address())]
    head = request_head("POST", "/api/plain", [*headers, ("Content-Length", length)])
    answer = site.exchange(head, b"{}   ", patience=5)
    assert answer is None or answer.status == 400
