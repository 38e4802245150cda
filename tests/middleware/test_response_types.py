"""Header policies whose rows are for some media types, on every kind of response."""

from __future__ import annotations

import pytest
from django.test import override_settings

from apiguard.models import HeaderPolicy, ResponseHeader
from tests.request.site import DOORS, MIDDLEWARE, Call, close, guarded, route

NOTHING = "default-src 'none'"
PAGE = "default-src 'self'"
CSP = "Content-Security-Policy"


def policy(*rows):
    """(name, value, mode, content types) rows; the policy comes first."""
    owner = HeaderPolicy(name="typed")
    return [
        owner,
        *(
            ResponseHeader(policy=owner, name=name, value=value, mode=mode, content_types=types)
            for name, value, mode, types in rows
        ),
    ]


TYPED = [
    (CSP, NOTHING, "force", []),
    (CSP, PAGE, "force", ["text/html"]),
    ("Referrer-Policy", "no-referrer", "force", []),
]


def ask(door, call, rules=TYPED, middleware=MIDDLEWARE, **fields):
    rows = policy(*rules)
    with (
        guarded(route(header_policy=rows[0], **fields), *rows),
        override_settings(MIDDLEWARE=middleware),
    ):
        response = DOORS[door](call)
        close(response)
        return response


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("call", "value"),
    [
        pytest.param(Call(path="/api/decorated?type=text/html"), PAGE, id="a page"),
        pytest.param(Call("HEAD", "/api/decorated?type=text/html"), PAGE, id="HEAD of a page"),
        pytest.param(Call(path="/api/plain"), NOTHING, id="JSON"),
        pytest.param(Call("HEAD", "/api/plain"), NOTHING, id="HEAD of JSON"),
        pytest.param(Call(path="/api/streaming"), NOTHING, id="streaming"),
        pytest.param(Call(path="/api/file"), NOTHING, id="a file"),
        pytest.param(Call(path="/api/streaming-error"), PAGE, id="a streaming page"),
        pytest.param(Call(path="/api/not-modified"), None, id="not modified"),
        pytest.param(Call(path="/api/missing"), NOTHING, id="a problem in place of a page"),
        pytest.param(
            Call(path="/api/missing", headers={"Accept": "text/html"}), PAGE, id="an error page"
        ),
    ],
)
def test_the_type_of_what_is_sent_decides(door, call, value):
    response = ask(door, call)
    assert response.headers.get(CSP) == value
    assert response.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("door", DOORS)
def test_a_refusal_gets_the_headers_of_its_own_type(door):
    response = ask(door, Call(path="/api/plain"), access="credentials")
    assert (response.status_code, response.headers[CSP]) == (401, NOTHING)


@pytest.mark.parametrize("door", DOORS)
def test_not_modified_takes_nothing_from_the_page_that_a_cache_holds(door):
    inner = [MIDDLEWARE[0], "django.middleware.http.ConditionalGetMiddleware", *MIDDLEWARE[1:]]
    call = Call(path="/api/decorated?type=text/html")
    page = ask(door, call, middleware=inner)
    again = call.but({"If-None-Match": page.headers["ETag"]})
    unchanged = ask(door, again, middleware=inner)
    assert (page.headers[CSP], unchanged.status_code) == (PAGE, 304)
    assert CSP not in unchanged.headers
    assert unchanged.headers["Referrer-Policy"] == "no-referrer"
    assert unchanged.headers["ETag"] == page.headers["ETag"]
    assert "Content-Type" not in unchanged.headers


@pytest.mark.parametrize("door", DOORS)
def test_what_djangos_middleware_sets_too_is_sent_once(door):
    inner = [*MIDDLEWARE, "django.middleware.clickjacking.XFrameOptionsMiddleware"]
    rules = [
        ("x-frame-options", "DENY", "force", []),
        ("x-content-type-options", "nosniff", "force", ["*/*"]),
        ("referrer-policy", "no-referrer", "force", []),
        ("cross-origin-opener-policy", "same-origin", "default", []),
        ("strict-transport-security", "max-age=1", "force", []),
    ]
    with override_settings(SECURE_HSTS_SECONDS=60, X_FRAME_OPTIONS="SAMEORIGIN"):
        response = ask(door, Call(path="/api/get-only", secure=True), rules, inner)
    sent = [(name.lower(), value) for name, value in response.items()]
    assert len(sent) == len(dict(sent))
    assert {name: value for name, value in sent if name in dict.fromkeys(r[0] for r in rules)} == {
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "strict-transport-security": "max-age=1",
    }
