"""What leaves: headers on every response of a route, errors in one shape."""

from __future__ import annotations

import gzip
import json

import pytest
from django.core.exceptions import SuspiciousOperation
from django.core.signals import got_request_exception
from django.test import Client, override_settings

from tests.request.site import (
    DOORS,
    MIDDLEWARE,
    Call,
    Caller,
    cookie_free,
    guarded,
    headers,
    route,
    tier,
)

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
BASELINE = [
    ("Referrer-Policy", "strict-origin-when-cross-origin", "force", "always"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains", "force", "https"),
    ("X-Powered-By", "", "remove", "always"),
    ("Cache-Control", "no-store, no-cache", "default", "always"),
    ("Pragma", "no-cache", "default", "always"),
    ("Expires", "0", "default", "always"),
    ("Content-Security-Policy", "default-src 'none'", "default", "always"),
]
CACHING = {"cache-control": "no-store, no-cache", "pragma": "no-cache", "expires": "0"}


def ask(door, call, *rules, **fields):
    rows = headers(*rules)
    with guarded(route(header_policy=rows[0], **fields), *rows):
        return DOORS[door](call)


# -- errors of Django -----------------------------------------------------------


ERRORS = [
    pytest.param("GET", "/api/nowhere", 404, "not_found", "Nothing is found here", id="no path"),
    pytest.param("GET", "/api/missing", 404, "not_found", "Nothing is found here", id="Http404"),
    pytest.param(
        "POST",
        "/api/get-only",
        405,
        "method_not_allowed",
        "The method is not allowed here",
        id="a method of the view",
    ),
    pytest.param("GET", "/api/fails", 500, "internal_error", "An error occurred", id="exception"),
    pytest.param(
        "GET",
        "/api/suspicious",
        400,
        "invalid_request",
        "The request is malformed",
        id="suspicious",
    ),
    pytest.param("GET", "/api/forbidden", 403, "forbidden", "Permission denied", id="denied"),
    pytest.param(
        "POST", "/api/protected", 403, "csrf_failed", "CSRF verification failed", id="CSRF"
    ),
]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html;q=0.1, */*"])
@pytest.mark.parametrize(("method", "path", "status", "error", "detail"), ERRORS)
def test_an_error_that_is_still_html_becomes_a_problem(
    door, accept, method, path, status, error, detail
):
    call = Call(method, path, {} if accept is None else {"Accept": accept})
    response = ask(door, call.but({"X-Request-ID": "the-id"}))
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    answer = json.loads(response.content)
    assert list(answer) == [
        "type",
        "title",
        "status",
        "detail",
        "error",
        "message",
        "requestId",
    ]
    assert answer["type"] == "about:blank"
    assert (answer["status"], answer["error"], answer["requestId"]) == (status, error, "the-id")
    assert answer["detail"] == answer["message"] == detail
    assert b"log alone" not in response.content
    assert response.headers.get("Content-Length", str(len(response.content))) == str(
        len(response.content)
    )


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("method", "path", "status", "error", "detail"), ERRORS)
def test_a_browser_keeps_the_page_that_django_made(door, method, path, status, error, detail):
    response = ask(door, Call(method, path, {"Accept": BROWSER}), *BASELINE)
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"


@pytest.mark.parametrize(("method", "path", "status", "error", "detail"), ERRORS)
def test_an_error_in_the_simple_format(method, path, status, error, detail):
    with guarded(route(), ERROR_FORMAT="simple"):
        response = Call(method, path, {"X-Request-ID": "the-id"}).wsgi()
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == {"error": error, "message": detail, "requestId": "the-id"}


def test_an_error_that_is_json_already_is_the_view_s_own():
    response = ask("wsgi", Call(path="/api/json-error"))
    assert (response.status_code, response.json()) == (422, {"own": True})


def test_a_page_that_a_view_returned_keeps_its_type_and_its_file_name():
    sent = "status=404&type=application/xhtml%2Bxml&Content-Disposition=attachment&Allow=GET"
    response = ask("wsgi", Call(path=f"/api/decorated?{sent}"))
    assert response.headers["Content-Type"] == "application/xhtml+xml"
    assert response.headers["Content-Disposition"] == "attachment"
    assert response.headers["Allow"] == "GET"


def test_the_allowed_methods_of_a_view_stay():
    response = ask("wsgi", Call("POST", "/api/get-only"))
    assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("door", DOORS)
def test_django_goes_on_handling_exceptions(door):
    seen = []

    def note(sender, request, **_):
        seen.append(request.path)

    got_request_exception.connect(note)
    try:
        response = ask(door, Call(path="/api/fails"))
    finally:
        got_request_exception.disconnect(note)
    assert (response.status_code, seen) == (500, ["/api/fails"])


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("accept", ["application/json", "*/*"])
def test_under_debug_a_program_is_told_what_failed(door, accept):
    with override_settings(DEBUG=True):
        response = ask(door, Call(path="/api/fails", headers={"Accept": accept}))
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["detail"] == "RuntimeError: a text for the log alone"


class Raises:
    """A middleware that never gets as far as a view."""

    raised: Exception = RuntimeError("a text for the log alone")

    def __init__(self, get_response):
        pass

    def __call__(self, request):
        raise self.raised


class Suspects(Raises):
    raised = SuspiciousOperation("a text for the log alone")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("accept", [None, "application/json", "text/plain"])
@pytest.mark.parametrize(
    ("name", "status", "error"),
    [("Raises", 500, "internal_error"), ("Suspects", 400, "invalid_request")],
)
def test_an_exception_of_a_middleware_is_a_problem(door, debug, accept, name, status, error):
    chain = [MIDDLEWARE[0], f"{__name__}.{name}", *MIDDLEWARE[1:]]
    call = Call(headers={} if accept is None else {"Accept": accept})
    with guarded(route()), override_settings(DEBUG=debug, MIDDLEWARE=chain):
        response = DOORS[door](call)
    assert (response.status_code, response.json()["error"]) == (status, error)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert b"log alone" not in response.content


def test_under_debug_plain_text_of_the_view_s_own_stays():
    with override_settings(DEBUG=True):
        response = ask("wsgi", Call(path="/api/decorated?status=404"))
    assert response.content == b"x" * 500


@pytest.mark.parametrize("path", ["/api/fails", "/api/nowhere", "/api/suspicious"])
def test_under_debug_a_browser_keeps_the_technical_page(path):
    with override_settings(DEBUG=True):
        response = ask("wsgi", Call(path=path, headers={"Accept": BROWSER}))
    assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        pytest.param("/api/echo", "application/octet-stream", id="read by the view"),
        pytest.param("/api/form", "application/x-www-form-urlencoded", id="a form"),
        pytest.param(
            "/api/protected", "application/x-www-form-urlencoded", id="read by the CSRF check"
        ),
    ],
)
def test_a_body_over_djangos_own_limit_is_too_large(door, path, content_type):
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        call = Call("POST", path, body=b"a=1234567890", content_type=content_type)
        call = call.but({"Cookie": f"csrftoken={'a' * 32}; other=1"})
        response = ask(door, call)
    assert response.status_code == 413
    assert response.json()["error"] == "payload_too_large"
    assert response.json()["detail"] == "The body is larger than the limit of 10 bytes"


def test_a_form_that_the_view_has_read_and_refused_is_not_called_too_large():
    boundary = "xYz"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n'
        f"{'x' * 100}\r\n--{boundary}--\r\n"
    )
    call = Call(
        "POST",
        "/api/refused-form",
        body=body.encode(),
        content_type=f"multipart/form-data; boundary={boundary}",
    )
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        response = ask("wsgi", call)
    assert response.status_code == 400
    assert response.headers["Content-Type"].startswith("text/html")


def test_too_many_fields_are_a_malformed_request():
    call = Call(
        "POST", "/api/form", body=b"a=1&b=2", content_type="application/x-www-form-urlencoded"
    )
    with override_settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=1):
        response = ask("wsgi", call)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_a_path_without_a_route_keeps_its_pages():
    with guarded(route("/elsewhere/")):
        response = Call(path="/api/nowhere").wsgi()
    assert response.headers["Content-Type"].startswith("text/html")
    assert response.headers["X-Request-ID"]


# -- header policy --------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("rule", "query", "expected"),
    [
        pytest.param(("A", "ours", "default", "always"), "", "ours", id="default, absent"),
        pytest.param(("A", "ours", "default", "always"), "A=view", "view", id="default, set"),
        pytest.param(("a", "ours", "default", "always"), "A=view", "view", id="default, case"),
        pytest.param(("A", "ours", "force", "always"), "A=view", "ours", id="force, set"),
        pytest.param(("A", "ours", "force", "always"), "", "ours", id="force, absent"),
        pytest.param(("A", "", "remove", "always"), "A=view", None, id="remove, set"),
        pytest.param(("A", "", "remove", "always"), "", None, id="remove, absent"),
        pytest.param(("A", "ours", "force", "https"), "A=view", "view", id="https only"),
    ],
)
def test_a_rule_of_the_header_policy(door, rule, query, expected):
    response = ask(door, Call(path=f"/api/decorated?{query}"), rule)
    assert response.headers.get("A") == expected


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("secure", "proxies", "said", "sent"),
    [
        pytest.param(True, [], None, True, id="https"),
        pytest.param(False, [], None, False, id="http"),
        pytest.param(False, [], "https", False, id="said by nobody who is trusted"),
        pytest.param(False, ["10.0.0.0/8"], "https", False, id="said by a stranger"),
        pytest.param(False, ["127.0.0.1"], "https", True, id="said by a trusted proxy"),
        pytest.param(False, ["127.0.0.1"], "http, HTTPS", True, id="the nearest proxy counts"),
        pytest.param(False, ["127.0.0.1"], "https, http", False, id="a client's word does not"),
        pytest.param(False, ["127.0.0.1"], "", False, id="nothing said"),
    ],
)
def test_rules_for_https_follow_the_scheme_that_is_certain(door, secure, proxies, said, sent):
    rows = headers(*BASELINE)
    call = Call(headers={} if said is None else {"X-Forwarded-Proto": said}, secure=secure)
    with guarded(route(header_policy=rows[0]), *rows, TRUSTED_PROXIES=proxies):
        response = DOORS[door](call)
    assert ("Strict-Transport-Security" in response.headers) == sent


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", CACHING, id="nothing said"),
        pytest.param(
            "Cache-Control=max-age%3D60", {"cache-control": "max-age=60"}, id="by the view"
        ),
        pytest.param("Expires=never", {"expires": "never"}, id="one of the group is the group"),
        pytest.param(
            "Cache-Control=max-age%3D60&status=404",
            {"cache-control": "max-age=60"},
            id="by a view that finds nothing",
        ),
    ],
)
def test_caching_is_one_decision_and_the_view_s_wins(query, expected):
    response = ask("wsgi", Call(path=f"/api/decorated?{query}"), *BASELINE)
    sent = cookie_free(response)
    assert {name: sent[name] for name in CACHING if name in sent} == expected
    assert sent["content-security-policy"] == "default-src 'none'"


def test_a_refused_limit_is_never_stored():
    rows, limits = headers(*BASELINE), tier("anonymous", 1)
    with guarded(route(header_policy=rows[0], anonymous_tier=limits[0]), *rows, *limits):
        first, second = (Call(path="/api/get-only").wsgi() for _ in range(2))
    assert first.headers["Cache-Control"] == "no-store, no-cache"
    assert second.status_code == 429
    assert second.headers["Cache-Control"] == "no-store"
    assert second.headers["Pragma"] == "no-cache"


def test_a_forced_rule_replaces_what_the_security_middleware_set_before_us():
    response = ask("wsgi", Call(path="/api/get-only"), *BASELINE)
    assert response.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert ask("wsgi", Call(path="/api/get-only")).headers["Referrer-Policy"] == "same-origin"


def test_the_security_middleware_s_redirect_is_completed_too():
    rows = headers(*BASELINE)
    with (
        guarded(route(header_policy=rows[0]), *rows),
        override_settings(SECURE_SSL_REDIRECT=True),
    ):
        response = Call(path="/api/get-only").wsgi()
    assert response.status_code == 301
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"


# -- Vary -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access", "sent", "vary"),
    [
        pytest.param("public", {}, None, id="public"),
        pytest.param("application", {}, "Authorization, X-API-Key", id="application"),
        pytest.param(
            "public", {"Authorization": "Basic eDp5"}, "Authorization, X-API-Key", id="foreign"
        ),
        pytest.param("public", {"X-API-Key": "ag_x"}, "Authorization, X-API-Key", id="a bad key"),
        pytest.param("credentials", {}, "Authorization, X-API-Key", id="wanted"),
    ],
)
def test_vary_names_credentials_where_one_was_sent_or_is_wanted(access, sent, vary):
    with guarded(route(access=access)):
        response = Call(path="/api/get-only", headers=sent).wsgi()
    assert response.headers.get("Vary") == vary


@pytest.mark.parametrize(
    ("access", "cache_control", "vary"),
    [
        pytest.param("application", "Public, max-age=60", None, id="for everybody"),
        pytest.param("application", "max-age=60", "Authorization, X-API-Key", id="not said"),
        pytest.param("credentials", "public", "Authorization, X-API-Key", id="behind credentials"),
    ],
)
def test_a_response_that_the_view_marks_public_varies_only_behind_credentials(
    access, cache_control, vary
):
    caller = Caller()
    sent = {"X-API-Key": caller.text} if access == "credentials" else {}
    with guarded(route(access=access), *caller.rows):
        path = f"/api/decorated?Cache-Control={cache_control}"
        assert Call(path=path, headers=sent).wsgi().headers.get("Vary") == vary


@pytest.mark.parametrize(
    ("own", "vary"),
    [
        pytest.param("Accept", "Accept, Authorization, X-API-Key", id="added to"),
        pytest.param("x-api-key, Accept", "x-api-key, Accept, Authorization", id="once"),
        pytest.param("*", "*", id="everything"),
    ],
)
def test_vary_keeps_what_the_view_said(own, vary):
    caller = Caller()
    with guarded(route(access="credentials"), *caller.rows):
        call = Call(path=f"/api/decorated?Vary={own}", headers={"X-API-Key": caller.text})
        assert call.wsgi().headers["Vary"] == vary


def test_another_key_header_is_what_vary_names():
    caller = Caller()
    with guarded(route(access="credentials"), *caller.rows, API_KEY_HEADER="Api-Token"):
        call = Call(path="/api/get-only", headers={"Api-Token": caller.text})
        response = call.wsgi()
        refused = Call(headers={"X-API-Key": caller.text}).wsgi()
    assert (response.status_code, refused.status_code) == (200, 401)
    assert response.headers["Vary"] == "Authorization, Api-Token"


# -- unusual responses ----------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
def test_a_streaming_response_streams_and_gets_its_headers(door):
    rows = headers(*BASELINE)
    with guarded(route(header_policy=rows[0]), *rows):
        response = DOORS[door](Call(path="/api/streaming"))
    assert response.streaming
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"
    assert response.getvalue() == b"onetwo"


def test_a_streaming_error_is_left_as_it_is():
    response = ask("wsgi", Call(path="/api/streaming-error"))
    assert b"".join(response.streaming_content) == b"<p></p>"
    assert response.headers["Content-Type"] == "text/html"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/get-only", "/api/nowhere", "/api/not-modified"])
def test_head_and_not_modified_get_the_headers_of_the_route(door, path):
    response = ask(door, Call("HEAD", path), *BASELINE)
    assert response.content == b""
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"
    assert response.headers["X-Request-ID"]


@pytest.mark.parametrize("door", DOORS)
def test_a_compressed_page_becomes_a_plain_problem(door):
    inner = [
        MIDDLEWARE[0],
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        *MIDDLEWARE[1:],
    ]
    with guarded(route()), override_settings(MIDDLEWARE=inner, DEBUG=True):
        call = Call(path="/api/nowhere", headers={"Accept-Encoding": "gzip"})
        error = DOORS[door](call)
        fine = DOORS[door](call.but(path="/api/decorated"))
    assert "Content-Encoding" not in error.headers
    assert "ETag" not in error.headers
    assert error.json()["error"] == "not_found"
    assert gzip.decompress(fine.content) == b"x" * 500
    assert fine.headers["Content-Encoding"] == "gzip"


class SetsCookie:
    """A middleware of the project that sets a cookie on every response."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        response.set_cookie("a", "b")
        return response


def test_cookies_of_a_replaced_page_stay():
    chain = [*MIDDLEWARE, f"{__name__}.SetsCookie"]
    with guarded(route()), override_settings(MIDDLEWARE=chain):
        response = Client().get("/api/nowhere")
    assert response.cookies["a"].value == "b"
    assert response.json()["error"] == "not_found"


# -- rate-limit headers ---------------------------------------------------------


FAMILIES = {
    "x-ratelimit": ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"],
    "draft-6": ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"],
    "draft-10": ["RateLimit-Policy", "RateLimit"],
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/get-only", "/api/nowhere", "/api/fails"])
def test_every_response_for_which_something_was_counted_says_so(door, path):
    limits = tier("anonymous", 5)
    with guarded(route(anonymous_tier=limits[0]), *limits):
        response = DOORS[door](Call(path=path))
    for names in FAMILIES.values():
        assert set(names) <= set(response.headers)
    assert response.headers["X-RateLimit-Limit"] == response.headers["RateLimit-Limit"] == "5"
    assert response.headers["X-RateLimit-Remaining"] == "4"
    assert response.headers["RateLimit-Policy"] == '"anonymous-1";q=5;w=3600'
    assert response.headers["RateLimit"] == '"anonymous-1";r=4;t=3600'


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_families_that_are_switched_on_are_sent(family):
    limits = tier("anonymous", 5)
    with guarded(route(anonymous_tier=limits[0]), *limits, RATE_LIMIT_HEADERS=[family]):
        response = Call(path="/api/get-only").wsgi()
    sent = {name for name in response.headers if "ratelimit" in name.lower()}
    assert sent == set(FAMILIES[family])


def test_the_refusals_after_counting_carry_the_numbers():
    limits = tier("anonymous", 1)
    with guarded(route(access="credentials", anonymous_tier=limits[0]), *limits):
        first, second = (Call().wsgi() for _ in range(2))
    assert (first.status_code, second.status_code) == (401, 429)
    assert first.headers["X-RateLimit-Remaining"] == "0"
    assert second.headers["RateLimit"].startswith('"anonymous-1";r=0;t=')


def test_nothing_counted_nothing_said():
    response = ask("wsgi", Call(path="/api/get-only"))
    assert [name for name in response.headers if "ratelimit" in name.lower()] == []
