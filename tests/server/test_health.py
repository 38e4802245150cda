"""``/health`` as a caller sees it: which headers every response carries."""

from __future__ import annotations

import re

import pytest

from tests.server.calls import new_address
from tests.server.conftest import behind_proxy, serving

pytestmark = pytest.mark.slow

FOREIGN = {"Origin": "https://evil.example"}
PREFLIGHT = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}


@pytest.fixture(
    params=[
        pytest.param(("GET", {}, 200), id="ok"),
        pytest.param(("HEAD", {}, 200), id="head"),
        pytest.param(("GET", FOREIGN, 403), id="foreign origin"),
        pytest.param(("POST", {}, 405), id="method not listed"),
        pytest.param(("OPTIONS", PREFLIGHT, 204), id="preflight"),
        pytest.param(("GET", {"Authorization": "Bearer a b"}, 200), id="somebody else's token"),
        pytest.param(("GET", {"X-API-Key": "ag_live_a b"}, 400), id="malformed key"),
        pytest.param(("GET", {"X-API-Key": "ag_live_x"}, 401), id="bad key"),
        pytest.param(("GET", None, 429), id="too many requests"),
    ]
)
def answer(request, site):
    method, headers, status = request.param
    if headers is None:
        address = new_address()
        answers = [site.call(method, "/health", address=address) for _ in range(61)]
        got = answers[-1]
    else:
        got = site.call(method, "/health", headers)
    assert got.status == status
    return got


def test_every_response_carries_the_security_headers(answer):
    assert answer.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.getlist("Referrer-Policy") == ["strict-origin-when-cross-origin"]
    assert answer.headers.getlist("X-Frame-Options") == ["DENY"]
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers.getlist("Pragma") == ["no-cache"]
    assert answer.headers.getlist("Expires") == ["0"]


def test_every_response_tells_its_type_unless_it_is_empty(answer):
    wanted = {200: "application/json", 204: None}.get(answer.status, "application/problem+json")
    assert answer.headers.get("Content-Type") == wanted


def test_no_response_tells_what_powers_it_or_promises_https_over_http(answer):
    assert "X-Powered-By" not in answer.headers
    assert "Strict-Transport-Security" not in answer.headers


def test_every_response_has_an_id(answer):
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize("inbound", ["a", "A-b_c.9", "x" * 128])
def test_a_well_formed_request_id_is_echoed(site, inbound):
    answer = site.get("/health", {"X-Request-ID": inbound})
    assert answer.headers.getlist("X-Request-ID") == [inbound]


@pytest.mark.parametrize(
    "inbound",
    [
        pytest.param("", id="empty"),
        pytest.param("a b", id="white space"),
        pytest.param("x" * 129, id="too long"),
        pytest.param("<script>", id="markup"),
        pytest.param("caf\xe9", id="not ASCII"),
    ],
)
def test_any_other_request_id_is_replaced(site, inbound):
    answer = site.get("/health", {"X-Request-ID": inbound})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_two_requests_never_share_an_id_that_was_made(site):
    ids = {site.get("/health").headers["X-Request-ID"] for _ in range(20)}
    assert len(ids) == 20


def test_https_in_the_trusted_proxy_header_brings_strict_transport_security(site):
    answer = site.get("/health", {"X-Forwarded-Proto": "https"})
    assert answer.headers.getlist("Strict-Transport-Security") == [
        "max-age=31536000; includeSubDomains"
    ]


@pytest.mark.parametrize("said", ["http", "https, http", "httpsx", ""])
def test_the_last_value_of_the_trusted_proxy_header_counts(site, said):
    answer = site.get("/health", {"X-Forwarded-Proto": said})
    assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_nobody_else_is_believed_about_https_or_addresses(demo_site_in_memory, kind):
    stranger = behind_proxy(demo_site_in_memory).with_env(APIGUARD_TRUSTED_PROXIES='["192.0.2.1"]')
    with serving(kind, stranger, workers=1) as site:
        answers = [site.get("/health", {"X-Forwarded-Proto": "https"}) for _ in range(3)]
    assert all("Strict-Transport-Security" not in one.headers for one in answers)
    # Three made-up addresses, and yet one caller.
    remaining = [int(one.headers["X-RateLimit-Remaining"]) for one in answers]
    assert remaining == sorted(set(remaining), reverse=True)
