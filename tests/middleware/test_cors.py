"""CORS: exactly these headers, and not one more."""

from __future__ import annotations

import pytest

from tests.request.site import ALLOWED, DOORS, FOREIGN, Call, cors, guarded, route, tier

PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
ASK = {"Origin": ALLOWED, "Access-Control-Request-Method": "PUT"}
PERMISSIONS = {
    "access-control-allow-methods": "GET, PUT",
    "access-control-allow-headers": "Authorization, X-API-Key",
    "access-control-max-age": "600",
}
EXPOSED = {"access-control-expose-headers": "X-Request-ID, Retry-After"}
MINE = {"access-control-allow-origin": ALLOWED}
WITH_CREDENTIALS = {"access-control-allow-credentials": "true"}
ANYBODY = {"access-control-allow-origin": "*"}


def cors_headers(response):
    return {
        name.lower(): value
        for name, value in response.headers.items()
        if name.lower().startswith("access-control-")
    }


def ask(door, call, *patterns, access="public", prefix="/api/", **fields):
    rows = cors(*patterns, **fields)
    with guarded(route(prefix, cors_policy=rows[0], access=access), *rows):
        return DOORS[door](call)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("patterns", "fields", "headers", "expected"),
    [
        pytest.param([ALLOWED], {}, {}, {**MINE, **PERMISSIONS}, id="allowed"),
        pytest.param(
            [ALLOWED],
            {"allow_credentials": True},
            {},
            {**MINE, **WITH_CREDENTIALS, **PERMISSIONS},
            id="with credentials",
        ),
        pytest.param(["*"], {}, {}, {**ANYBODY, **PERMISSIONS}, id="anybody"),
        pytest.param(
            ["https://*.example.com"], {}, {}, {**MINE, **PERMISSIONS}, id="a family of origins"
        ),
        pytest.param(
            [ALLOWED],
            {},
            {"Access-Control-Request-Headers": " x-api-key,,AUTHORIZATION "},
            {**MINE, **PERMISSIONS},
            id="header names in any case",
        ),
        pytest.param(
            [ALLOWED],
            {},
            {"Access-Control-Request-Method": "HEAD"},
            {**MINE, **PERMISSIONS},
            id="a safelisted method that is not listed",
        ),
        pytest.param(
            [ALLOWED],
            {"allowed_methods": [], "allowed_headers": []},
            {"Access-Control-Request-Method": "POST"},
            {**MINE, "access-control-max-age": "600"},
            id="nothing listed",
        ),
    ],
)
def test_an_allowed_preflight_is_answered_with_exactly_these_headers(
    door, patterns, fields, headers, expected
):
    call = Call("OPTIONS", headers={**ASK, **headers})
    response = ask(door, call, *patterns, access="credentials", **fields)
    assert (response.status_code, response.content) == (204, b"")
    assert cors_headers(response) == expected
    assert response.headers["Vary"] == PREFLIGHT_VARY
    assert "Content-Type" not in response.headers
    assert response.headers["X-Request-ID"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": FOREIGN}, id="origin"),
        pytest.param({"Access-Control-Request-Method": "put"}, id="method in lower case"),
        pytest.param({"Access-Control-Request-Headers": "x-other"}, id="header"),
        pytest.param({"Access-Control-Request-Headers": "a" * 4097}, id="headers too long"),
        pytest.param({"Access-Control-Request-Headers": "," * 17}, id="too many empty elements"),
    ],
)
@pytest.mark.parametrize("foreign", [True, False])
def test_a_refused_preflight_has_no_cors_header(door, headers, foreign):
    call = Call("OPTIONS", headers={**ASK, **headers})
    response = ask(door, call, ALLOWED, refuse_foreign_origins=foreign)
    assert response.status_code == 403
    assert response.json()["error"] == "origin_not_allowed"
    assert cors_headers(response) == {}
    assert response.headers["Vary"] == PREFLIGHT_VARY


@pytest.mark.parametrize("door", DOORS)
def test_a_preflight_is_not_counted_and_needs_no_credential(door):
    policy, limits = cors(ALLOWED), tier("anonymous", 1)
    rows = [route(access="credentials", cors_policy=policy[0], anonymous_tier=limits[0])]
    with guarded(*rows, *policy, *limits):
        answers = [DOORS[door](Call("OPTIONS", headers=ASK)) for _ in range(3)]
        counted = DOORS[door](Call())
    assert [response.status_code for response in answers] == [204] * 3
    assert all("RateLimit" not in response.headers for response in answers)
    assert counted.headers["X-RateLimit-Remaining"] == "0"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no origin"),
        pytest.param({"Origin": ALLOWED}, id="no requested method"),
        pytest.param({"Origin": ALLOWED, "Access-Control-Request-Method": ""}, id="empty method"),
        pytest.param({"Access-Control-Request-Method": "PUT"}, id="a method without origin"),
    ],
)
def test_any_other_options_request_reaches_the_view(headers):
    response = ask("wsgi", Call("OPTIONS", headers=headers), ALLOWED)
    assert response.status_code == 200
    assert response.json()["type"] == "AnonymousUser"


def test_a_preflight_without_a_cors_policy_reaches_the_view():
    with guarded(route()):
        response = Call("OPTIONS", headers=ASK).wsgi()
    assert response.status_code == 200
    assert cors_headers(response) == {}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("patterns", "fields", "origin", "status", "expected", "vary"),
    [
        pytest.param([ALLOWED], {}, ALLOWED, 200, {**MINE, **EXPOSED}, "Origin", id="allowed"),
        pytest.param(
            [ALLOWED],
            {"allow_credentials": True},
            ALLOWED,
            200,
            {**MINE, **WITH_CREDENTIALS, **EXPOSED},
            "Origin",
            id="with credentials",
        ),
        pytest.param(
            [ALLOWED], {"exposed_headers": []}, ALLOWED, 200, MINE, "Origin", id="nothing exposed"
        ),
        pytest.param([ALLOWED], {}, None, 200, {}, "Origin", id="no origin"),
        pytest.param([ALLOWED], {}, FOREIGN, 403, {}, "Origin", id="foreign"),
        pytest.param([ALLOWED], {}, "null", 403, {}, "Origin", id="null"),
        pytest.param([ALLOWED], {}, "", 403, {}, "Origin", id="empty"),
        pytest.param(
            [ALLOWED],
            {"refuse_foreign_origins": False},
            FOREIGN,
            200,
            {},
            "Origin",
            id="foreign, served",
        ),
        pytest.param(["*"], {}, FOREIGN, 200, {**ANYBODY, **EXPOSED}, None, id="anybody"),
        pytest.param(["*"], {}, None, 200, {**ANYBODY, **EXPOSED}, None, id="anybody, no origin"),
        pytest.param(
            [], {}, "http://testserver", 200, {}, "Origin", id="the same origin, none is listed"
        ),
        pytest.param([], {}, "https://testserver", 403, {}, "Origin", id="another scheme"),
        pytest.param([], {}, "http://testserver:8000", 403, {}, "Origin", id="another port"),
    ],
)
def test_an_actual_response_has_exactly_these_headers(
    door, patterns, fields, origin, status, expected, vary
):
    call = Call(path="/api/get-only", headers={} if origin is None else {"Origin": origin})
    response = ask(door, call, *patterns, **fields)
    assert response.status_code == status
    assert cors_headers(response) == expected
    assert response.headers.get("Vary") == vary


@pytest.mark.parametrize(
    ("site", "status"),
    [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)],
)
def test_the_browser_is_believed_about_what_is_the_same_origin(site, status):
    call = Call(headers={"Origin": "http://testserver", "Sec-Fetch-Site": site})
    assert ask("wsgi", call, ALLOWED).status_code == status


def test_the_scheme_of_a_trusted_proxy_makes_an_origin_the_same():
    call = Call(headers={"Origin": "https://testserver", "X-Forwarded-Proto": "https"})
    rows = cors(ALLOWED)
    with guarded(route(cors_policy=rows[0]), *rows):
        assert call.wsgi().status_code == 403
    with guarded(route(cors_policy=rows[0]), *rows, TRUSTED_PROXIES=["127.0.0.1"]):
        assert call.wsgi().status_code == 200


def test_a_preflight_of_the_same_origin_is_answered_where_that_is_listed_too():
    call = Call("OPTIONS", headers={**ASK, "Origin": "http://testserver"})
    assert ask("wsgi", call, "http://testserver").status_code == 204
    assert ask("wsgi", call, ALLOWED).status_code == 200


@pytest.mark.parametrize("patterns", [[ALLOWED], ["*"]])
def test_what_a_view_says_of_cors_does_not_leave(patterns):
    path = (
        "/api/decorated?Access-Control-Allow-Origin=https://evil.example"
        "&Access-Control-Allow-Methods=PUT&Vary=Cookie"
    )
    response = ask("wsgi", Call(path=path, headers={"Origin": ALLOWED}), *patterns)
    origin = "*" if patterns == ["*"] else ALLOWED
    assert cors_headers(response) == {"access-control-allow-origin": origin, **EXPOSED}


def test_what_a_view_says_of_cors_leaves_where_no_policy_is():
    path = "/api/decorated?Access-Control-Allow-Origin=https://evil.example"
    with guarded(route()):
        response = Call(path=path).wsgi()
    assert cors_headers(response) == {"access-control-allow-origin": "https://evil.example"}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "path", ["/api/nowhere", "/api/fails", "/api/forbidden", "/api/drf", "/api/get-only"]
)
def test_an_allowed_origin_can_read_errors_too(door, path):
    call = Call("POST" if path == "/api/get-only" else "GET", path, {"Origin": ALLOWED})
    response = ask(door, call, ALLOWED)
    assert response.status_code >= 400
    assert cors_headers(response) == {**MINE, **EXPOSED}
    assert "Origin" in response.headers["Vary"].split(", ")


def test_a_refused_credential_can_be_read_by_an_allowed_origin():
    call = Call(headers={"Origin": ALLOWED})
    response = ask("wsgi", call, ALLOWED, access="credentials")
    assert response.status_code == 401
    assert cors_headers(response) == {**MINE, **EXPOSED}
    assert response.headers["Vary"] == "Origin, Authorization, X-API-Key"
