"""A blocked network is refused before anything else; a closed route refuses everybody."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apiguard.models import BlockedNetwork
from apiguard.telemetry.buffer import buffer
from tests.request.site import ALLOWED, DOORS, Call, Caller, cors, guarded, headers, route, tier

# Where the test clients call from.
HERE = "127.0.0.1"


def block(network=HERE, **fields):
    return BlockedNetwork(network=network, reason="a flood", **fields)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/plain", "/open/plain", "/nowhere", "/api/drf"])
@pytest.mark.parametrize("mode", ["enforce", "observe", "off", "closed"])
def test_a_blocked_address_is_refused_on_every_path_in_every_mode(door, path, mode):
    with guarded(route(mode=mode), block()):
        response = DOORS[door](Call(path=path, headers={"X-Request-ID": "the-id"}))
    assert response.status_code == 403
    assert response.json()["error"] == "address_blocked"
    assert response.headers["X-Request-ID"] == "the-id"
    assert "flood" not in response.content.decode()


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_a_blocked_browser_gets_no_cors_headers_but_the_route_s_own(method):
    policy = cors(ALLOWED)
    rules = headers(("X-Frame-Options", "DENY", "force", "always"))
    call = Call(method, headers={"Origin": ALLOWED, "Access-Control-Request-Method": "GET"})
    with guarded(route(cors_policy=policy[0], header_policy=rules[0]), *policy, *rules, block()):
        response = call.wsgi()
    assert response.status_code == 403
    assert not [name for name in response.headers if name.lower().startswith("access-control")]
    assert response.headers["X-Frame-Options"] == "DENY"


def test_a_blocked_request_is_counted_in_no_limit():
    limits = tier("standard", 5)
    caller = Caller(tier=limits[0])
    call = Call(headers={"X-API-Key": caller.text})
    row = route(access="credentials")
    with guarded(row, *limits, *caller.rows, block()):
        refused = [call.wsgi() for _ in range(9)]
    assert {response.status_code for response in refused} == {403}
    assert "RateLimit-Remaining" not in refused[-1].headers
    assert dict(buffer._pending.refused) == {(row.pk, "address_blocked", True): 9}
    with guarded(row, *limits, *caller.rows):
        assert call.wsgi().headers["RateLimit-Remaining"] == "4"


def test_an_exempt_path_is_never_blocked():
    with guarded(route(), block(), EXEMPT_PATHS=["/api/get-only"]):
        assert Call(path="/api/get-only").wsgi().status_code == 200


@pytest.mark.parametrize("bad_key", [{}, {"X-API-Key": "garbage"}])
def test_without_the_middleware_drf_s_classes_refuse(bad_key):
    with guarded(route(mode="observe"), block(), middleware=False):
        response = Call(path="/api/drf", headers=bad_key).wsgi()
    assert (response.status_code, response.json()["error"]) == (403, "address_blocked")


def test_a_block_ends_by_the_clock_of_each_request(monkeypatch):
    end = timezone.now() + timedelta(hours=1)
    with guarded(route(), block(until=end)):
        assert Call().wsgi().status_code == 403
        monkeypatch.setattr("apiguard.request.access.time.time", lambda: end.timestamp())
        assert Call().wsgi().status_code == 200


def test_behind_a_trusted_proxy_the_forwarded_address_counts():
    given = {"TRUSTED_PROXIES": [HERE]}
    with guarded(route(), block("2001:db8::/32"), block("192.0.2.0/24"), **given):
        for forwarded, status in [
            ("192.0.2.9", 403),
            ("::ffff:192.0.2.9", 403),
            ("2001:db8:1::2", 403),
            ("198.51.100.1", 200),
            ("192.0.2.9, 198.51.100.1", 200),
        ]:
            assert Call(headers={"X-Forwarded-For": forwarded}).wsgi().status_code == status


@pytest.mark.parametrize("network", ["nonsense", "0.0.0.0/0", "192.0.2.1/24", ""])
def test_a_row_with_an_error_blocks_nobody(network):
    with guarded(route(), block(network)) as snapshot:
        assert Call().wsgi().status_code == 200
        assert [problem.model for problem in snapshot.problems] == ["blockednetwork"]


# -- closed routes --------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/plain", "/api/drf", "/api/nowhere"])
@pytest.mark.parametrize("access", ["public", "credentials", "application"])
def test_a_closed_route_refuses_everybody(door, path, access):
    caller = Caller()
    with guarded(route(mode="closed", access=access), *caller.rows):
        answers = [
            DOORS[door](Call(path=path, headers=given))
            for given in ({}, {"X-API-Key": caller.text})
        ]
    for response in answers:
        assert (response.status_code, response.headers["Retry-After"]) == (503, "60")
        assert response.json()["error"] == "service_unavailable"


def test_a_page_of_an_allowed_origin_can_read_that_the_route_is_closed():
    policy = cors(ALLOWED)
    with guarded(route(mode="closed", cors_policy=policy[0]), *policy):
        preflight = Call(
            "OPTIONS", headers={"Origin": ALLOWED, "Access-Control-Request-Method": "GET"}
        ).wsgi()
        response = Call(headers={"Origin": ALLOWED}).wsgi()
    assert preflight.status_code == 204
    assert response.status_code == 503
    assert response.headers["Access-Control-Allow-Origin"] == ALLOWED
    assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]


def test_a_closed_route_counts_nothing():
    limits = tier("anonymous", 1)
    with guarded(route(mode="closed", anonymous_tier=limits[0]), *limits):
        answers = [Call().wsgi() for _ in range(3)]
    assert {response.status_code for response in answers} == {503}


def test_without_the_middleware_drf_s_classes_close_a_route():
    with guarded(route(mode="closed"), middleware=False):
        response = Call(path="/api/drf").wsgi()
    assert (response.status_code, response.headers["Retry-After"]) == (503, "60")
