"""Several refusals at once: the first row of the table wins, for every pair of rows."""

from __future__ import annotations

from io import BytesIO
from itertools import combinations
from typing import Any

import pytest
from django.db import OperationalError

from apiguard.middleware import ApiGuardMiddleware
from apiguard.models import BlockedNetwork
from apiguard.policy import load
from apiguard.request import pipeline
from apiguard.request.effects import run
from apiguard.rules import keys
from tests.request.site import (
    ALLOWED,
    DOORS,
    FOREIGN,
    Call,
    Caller,
    cors,
    guarded,
    headers,
    route,
    tier,
)

# In the order of the table. Each says how a request and its route come to deserve it.
BARE = {"Transfer-Encoding": "chunked"}


class Request:
    """What a request is made of; every fault changes some of it."""

    def __init__(self) -> None:
        self.method = "POST"
        self.headers: dict[str, str] = {}
        self.body = b"{}"
        self.content_type = "application/json"
        self.broken = self.blocked = self.closed = False
        self.limited = False
        self.wanted: list[str] = []
        # A well-formed key that nobody has; looked up where nothing is held.
        self.key = ""
        self.good = True


def _blocked(it: Request) -> None:
    it.blocked = True


def _preflight(it: Request) -> None:
    it.method = "OPTIONS"
    it.headers |= {"Origin": FOREIGN, "Access-Control-Request-Method": "PUT"}


def _foreign(it: Request) -> None:
    it.headers["Origin"] = FOREIGN


def _length(it: Request) -> None:
    it.headers["Content-Length"] = "-1"


def _host(it: Request) -> None:
    it.headers["Host"] = "evil.example"


def _method(it: Request) -> None:
    if it.method != "OPTIONS":
        it.method = "DELETE"


def _endless(it: Request) -> None:
    it.headers |= BARE
    it.body = b""


def _media_type(it: Request) -> None:
    it.content_type = "text/plain"
    it.headers["Content-Type"] = "text/plain"
    it.body = it.body or (b"" if "Transfer-Encoding" in it.headers else b"{}")


def _too_large(it: Request) -> None:
    if "Transfer-Encoding" not in it.headers:
        it.body = b"x" * 11


def _accept(it: Request) -> None:
    it.headers["Accept"] = "image/png"


def _malformed(it: Request) -> None:
    it.headers["X-API-Key"] = "a b"


def _bad_key(it: Request) -> None:
    it.headers.setdefault("X-API-Key", "garbage")


def _away(it: Request) -> None:
    it.headers.setdefault("X-API-Key", it.key)


def _broken(it: Request) -> None:
    it.broken = True


def _closed(it: Request) -> None:
    it.closed = True


def _limit(it: Request) -> None:
    it.limited = True


def _nobody(it: Request) -> None:
    it.good = False


def _scope(it: Request) -> None:
    it.wanted = ["orders:write"]


FAULTS: dict[str, tuple[Any, int, str]] = {
    "blocked": (_blocked, 403, "address_blocked"),
    "preflight": (_preflight, 403, "origin_not_allowed"),
    "foreign origin": (_foreign, 403, "origin_not_allowed"),
    "length": (_length, 400, "invalid_request"),
    "host": (_host, 400, "invalid_request"),
    "method": (_method, 405, "method_not_allowed"),
    "no length": (_endless, 411, "length_required"),
    "media type": (_media_type, 415, "unsupported_media_type"),
    "too large": (_too_large, 413, "payload_too_large"),
    "accept": (_accept, 406, "not_acceptable"),
    "malformed credential": (_malformed, 400, "invalid_request"),
    "bad credential": (_bad_key, 401, "invalid_api_key"),
    "look-up failed": (_away, 503, "service_unavailable"),
    "broken policy": (_broken, 503, "service_unavailable"),
    "closed": (_closed, 503, "service_unavailable"),
    "limit": (_limit, 429, "too_many_requests"),
    "no credential": (_nobody, 401, "unauthorized"),
    "scope": (_scope, 403, "insufficient_permissions"),
}
# Faults that cannot be told apart, or that exclude each other.
EXCLUSIVE = [
    {"preflight", "foreign origin"},
    {"length", "no length"},
    {"length", "host"},
    {"no length", "too large"},
    {"malformed credential", "no credential"},
    {"bad credential", "no credential"},
    {"look-up failed", "no credential"},
    {"bad credential", "look-up failed"},
    {"no credential", "scope"},
    {"look-up failed", "broken policy"},
    {"look-up failed", "closed"},
    {"broken policy", "closed"},
]
PAIRS = [
    pytest.param(first, second, id=f"{first}, {second}")
    for first, second in combinations(FAULTS, 2)
    if {first, second} not in EXCLUSIVE
]


def _prepare(*names: str) -> tuple[Call, list[Any]]:
    it, caller = Request(), Caller()
    it.key = keys.generate("ag", "live").text
    for name in names:
        FAULTS[name][0](it)
    if it.good and "X-API-Key" not in it.headers:
        it.headers["X-API-Key"] = caller.text
    policy, limits = cors(ALLOWED), tier("limits", 1)
    rules = headers(("Not A Name" if it.broken else "X-Name", "x", "force", "always"))
    caller.client.tier = limits[0]
    row = route(
        mode="closed" if it.closed else "enforce",
        access="credentials",
        methods=["GET", "POST"],
        accepts=["application/json"],
        produces=["application/json"],
        max_body_bytes=10,
        cost=2 if it.limited else 1,
        cors_policy=policy[0],
        header_policy=rules[0],
        anonymous_tier=limits[0],
        required_scopes=it.wanted,
    )
    call = Call(it.method, "/api/plain", it.headers, it.body, it.content_type)
    blocks = [BlockedNetwork(network="127.0.0.0/8", reason="x")] if it.blocked else []
    return call, [row, *blocks, *policy, *rules, *limits, *caller.rows]


@pytest.fixture
def away(monkeypatch):
    def key(key_id):
        raise OperationalError

    monkeypatch.setattr(load, "key", key)


def _open(snapshot: Any) -> None:
    """Held keys are found; any other has to be looked up."""
    snapshot.keyring.closed = False


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_alone_is_refused_as_the_table_says(name, away):
    call, rows = _prepare(name)
    with guarded(*rows) as snapshot:
        _open(snapshot)
        response = call.wsgi()
    assert (response.status_code, response.json()["error"]) == FAULTS[name][1:]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_of_two_faults_the_first_row_of_the_table_is_reported(door, first, second, away):
    if door == "asgi" and "no length" in (first, second):
        return  # An ASGI server always ends the body.
    call, rows = _prepare(first, second)
    with guarded(*rows) as snapshot:
        _open(snapshot)
        response = DOORS[door](call)
    assert (response.status_code, response.json()["error"]) == FAULTS[first][1:]


@pytest.mark.parametrize(("first", "second"), [p for p in PAIRS if "host" not in p.values])
def test_the_stages_alone_keep_the_same_order(first, second, away):
    call, rows = _prepare(first, second)
    with guarded(*rows) as snapshot:
        _open(snapshot)
        context = call.context(snapshot)
        refusal = run(pipeline.judge(context), context).refusal
    assert (refusal.status, refusal.error) == FAULTS[first][1:]


def test_without_a_fault_the_request_is_served(away):
    call, rows = _prepare()
    with guarded(*rows) as snapshot:
        _open(snapshot)
        assert call.wsgi().status_code == 200


def test_too_many_bad_credentials_come_before_a_limit():
    call, rows = _prepare("bad credential", "limit")
    with guarded(*rows, FAILED_CREDENTIALS_LIMIT="1/min"):
        first, second = call.wsgi(), call.wsgi()
    assert (first.status_code, second.status_code) == (401, 429)
    assert "violated-policies" not in second.json()


def test_a_body_of_unknown_length_comes_after_everything_else():
    call, rows = _prepare("limit")
    call = call.but({**BARE, "Content-Type": "application/json"}, body=b"")
    with guarded(*rows):
        request = call.request()
        request.META["wsgi.input_terminated"] = True
        request.META["wsgi.input"] = BytesIO(b"x" * 11)
        response = ApiGuardMiddleware(lambda _: None)(request)
    assert response.status_code == 429
