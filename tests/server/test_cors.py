"""CORS as a browser sees it, preflights included."""

from __future__ import annotations

import pytest

from tests.server.calls import new_address

pytestmark = pytest.mark.slow

ORIGIN = "https://app.example.com"
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
ALLOWED = pytest.mark.parametrize(
    "origin",
    [
        pytest.param(ORIGIN, id="listed"),
        pytest.param("https://dashboard.example.com", id="listed too"),
        pytest.param("https://pr-7.preview.example.com", id="by wildcard"),
        pytest.param("https://a.b.preview.example.com", id="deep below a wildcard"),
    ],
)
FOREIGN = pytest.mark.parametrize(
    "origin",
    [
        pytest.param("https://evil.example", id="another site"),
        pytest.param("http://app.example.com", id="another scheme"),
        pytest.param("https://app.example.com:8443", id="another port"),
        pytest.param("https://app.example.com.evil.example", id="longer at the end"),
        pytest.param("https://evilapp.example.com", id="longer at the start"),
        pytest.param("https://preview.example.com", id="the wildcard's own parent"),
        pytest.param("null", id="null"),
        pytest.param("https://app.example.com, https://evil.example", id="two in one"),
        pytest.param("", id="empty"),
        pytest.param("https://\xe4pp.example.com", id="not ASCII"),
    ],
)


def cors_headers(answer):
    prefix = "access-control-"
    return {
        name.lower().removeprefix(prefix): value
        for name, value in answer.headers.items()
        if name.lower().startswith(prefix)
    }


def vary(answer):
    return {name.strip().lower() for name in answer.headers.get("Vary", "").split(",")}


def preflight(site, path="/health", **headers):
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    return site.call("OPTIONS", path, {**asked, **headers})


@ALLOWED
def test_an_allowed_origin_may_read_health(site, origin):
    answer = site.get("/health", {"Origin": origin})
    assert answer.status == 200
    told = cors_headers(answer)
    exposed = {name.strip() for name in told.pop("expose-headers").split(",")}
    assert told == {"allow-origin": origin, "allow-credentials": "true"}
    assert exposed >= {"X-Request-ID", "Retry-After", "X-RateLimit-Remaining", "RateLimit"}
    assert "origin" in vary(answer)


@FOREIGN
def test_a_foreign_origin_is_refused_without_cors_headers(site, origin):
    answer = site.get("/health", {"Origin": origin})
    assert (answer.status, answer.json()["error"]) == (403, "origin_not_allowed")
    assert cors_headers(answer) == {}
    assert "origin" in vary(answer)


def test_no_origin_no_cors_headers_but_caches_are_warned(site):
    answer = site.get("/health")
    assert (answer.status, cors_headers(answer)) == (200, {})
    assert "origin" in vary(answer)


def test_a_page_of_the_site_itself_is_not_foreign(site):
    own = {"Origin": site.server.base_url, "Sec-Fetch-Site": "same-origin"}
    assert site.get("/health", own).status == 200
    assert site.get("/health", {"Origin": site.server.base_url}).status == 200


@pytest.mark.parametrize("path", ["/health", "/api/orders", "/api/plain", "/api/no-such"])
def test_a_preflight_is_answered_without_credentials(site, path):
    answer = preflight(
        site, path, **{"Access-Control-Request-Headers": "content-type,x-api-key,authorization"}
    )
    assert (answer.status, answer.data) == (204, b"")
    told = cors_headers(answer)
    methods = {name.strip() for name in told.pop("allow-methods").split(",")}
    headers = {name.strip().lower() for name in told.pop("allow-headers").split(",")}
    assert methods >= {"GET", "POST", "PUT", "PATCH", "DELETE"}
    assert headers == {
        "authorization",
        "content-type",
        "x-api-key",
        "x-request-id",
        "x-api-version",
    }
    assert told == {"allow-origin": ORIGIN, "allow-credentials": "true", "max-age": "86400"}
    assert answer.headers["Vary"].startswith(PREFLIGHT_VARY)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"Origin": "https://evil.example"}, id="origin"),
        pytest.param({"Access-Control-Request-Method": "TRACE"}, id="method"),
        pytest.param({"Access-Control-Request-Method": "post"}, id="method in lower case"),
        pytest.param({"Access-Control-Request-Headers": "x-api-key, x-evil"}, id="header"),
        pytest.param({"Access-Control-Request-Headers": "x" * 5000}, id="endless header"),
    ],
)
def test_a_preflight_for_more_than_is_allowed_is_refused(site, asked):
    answer = preflight(site, **asked)
    assert (answer.status, answer.json()["error"]) == (403, "origin_not_allowed")
    assert cors_headers(answer) == {}
    assert answer.headers["Vary"].startswith(PREFLIGHT_VARY)


def test_preflights_are_not_counted(site):
    address = new_address()
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    answers = [site.call("OPTIONS", "/health", asked, address=address) for _ in range(70)]
    assert {answer.status for answer in answers} == {204}
    assert site.get("/health", address=address).headers["X-RateLimit-Remaining"] == "59"


def test_options_without_the_question_of_a_preflight_reaches_the_view(site):
    answer = site.call("OPTIONS", "/api/orders", {"Origin": ORIGIN, **site.acme})
    assert answer.status == 200
    assert cors_headers(answer)["allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 401, id="no credential"),
        pytest.param({"X-API-Key": "ag_live_x"}, 401, id="bad key"),
        pytest.param({"Accept": "text/html"}, 406, id="not acceptable"),
    ],
)
def test_a_script_may_read_why_it_was_refused(site, headers, status):
    answer = site.get("/api/users/me", {"Origin": ORIGIN, **headers})
    assert answer.status == status
    assert cors_headers(answer)["allow-origin"] == ORIGIN
    assert vary(answer) >= {"origin", "authorization", "x-api-key"}
