"""Every refusal that needs no view, byte by byte, through every door that can give it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import OperationalError
from django.test import override_settings

from apiguard.models import Limit
from apiguard.policy import load
from apiguard.request import pipeline
from apiguard.request.effects import run
from tests.request.site import (
    ALLOWED,
    BAD_KEY,
    BAD_KEY_AS_BEARER,
    BAD_TOKEN,
    CHALLENGE,
    DOORS,
    EXPIRED_TOKEN,
    FOREIGN,
    KEY_ID_NOBODY_HAS,
    MALFORMED,
    MALFORMED_KEY,
    MIDDLEWARE,
    Call,
    Caller,
    cors,
    guarded,
    headers,
    issuer,
    route,
    tier,
    token,
)

PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
PREFLIGHT = Call("OPTIONS", headers={"Origin": ALLOWED, "Access-Control-Request-Method": "PUT"})
GARBAGE = "ag_live_" + "x" * 51
CHUNKED = {"Transfer-Encoding": "chunked"}
SECURITY = [("X-Frame-Options", "DENY", "force", "always")]


@dataclass(frozen=True)
class Case:
    """One row of the table of refusals."""

    call: Call
    status: int
    error: str
    detail: str
    route: dict[str, Any] = field(default_factory=dict)
    rows: Callable[[], list[Any]] = list
    sent: dict[str, str] = field(default_factory=dict)
    retry_after: str = ""
    doors: tuple[str, ...] = ("wsgi", "asgi")
    violated: tuple[str, ...] = ()


ACCEPTS = {"accepts": ["application/json", "image/*"]}
CREDENTIALS = {"access": "credentials"}

BAD_CREDENTIAL = "The credential is malformed"
KEY_INVALID = "The API key is invalid"
TOKEN_INVALID = "The access token is invalid"

CASES = {
    "preflight origin": Case(
        PREFLIGHT.but({"Origin": FOREIGN}),
        403,
        "origin_not_allowed",
        "The origin is not allowed",
        rows=lambda: cors(ALLOWED),
        sent={"Vary": PREFLIGHT_VARY},
    ),
    "preflight method": Case(
        PREFLIGHT.but({"Access-Control-Request-Method": "PATCH"}),
        403,
        "origin_not_allowed",
        "The method is not allowed for this origin",
        rows=lambda: cors(ALLOWED),
        sent={"Vary": PREFLIGHT_VARY},
    ),
    "preflight header": Case(
        PREFLIGHT.but({"Access-Control-Request-Headers": "x-api-key,x-other"}),
        403,
        "origin_not_allowed",
        "A header is not allowed for this origin",
        rows=lambda: cors(ALLOWED),
        sent={"Vary": PREFLIGHT_VARY},
    ),
    "foreign origin": Case(
        Call(headers={"Origin": FOREIGN}),
        403,
        "origin_not_allowed",
        "The origin is not allowed",
        rows=lambda: cors(ALLOWED),
        sent={"Vary": "Origin"},
    ),
    "null origin": Case(
        Call(headers={"Origin": "null"}),
        403,
        "origin_not_allowed",
        "The origin is not allowed",
        rows=lambda: cors(ALLOWED),
        sent={"Vary": "Origin"},
    ),
    "malformed length": Case(
        Call("POST", headers={"Content-Length": "1x"}),
        400,
        "invalid_request",
        "Content-Length is malformed",
    ),
    "negative length": Case(
        Call("POST", headers={"Content-Length": "-1"}),
        400,
        "invalid_request",
        "Content-Length is malformed",
    ),
    "a host that is not ours": Case(
        Call(headers={"Host": "evil.example"}),
        400,
        "invalid_request",
        "The request is malformed",
    ),
    "a host that is not ours, without a credential": Case(
        Call(headers={"Host": "evil.example"}),
        400,
        "invalid_request",
        "The request is malformed",
        route=CREDENTIALS,
    ),
    "method": Case(
        Call("DELETE"),
        405,
        "method_not_allowed",
        "The method is not allowed here",
        route={"methods": ["GET", "PUT"]},
        sent={"Allow": "GET, HEAD, PUT"},
    ),
    "no length": Case(
        Call("POST", headers=CHUNKED),
        411,
        "length_required",
        "A body needs a Content-Length",
        doors=("wsgi",),
    ),
    "media type": Case(
        Call("POST", body=b"a=1", content_type="text/plain"),
        415,
        "unsupported_media_type",
        "The Content-Type is not accepted here",
        route=ACCEPTS,
        sent={"Accept": "application/json, image/*"},
    ),
    "no media type": Case(
        Call("POST", body=b"a=1", content_type=""),
        415,
        "unsupported_media_type",
        "The Content-Type is not accepted here",
        route=ACCEPTS,
        sent={"Accept": "application/json, image/*"},
    ),
    "media type of a patch": Case(
        Call("PATCH", body=b"a=1", content_type="text/plain"),
        415,
        "unsupported_media_type",
        "The Content-Type is not accepted here",
        route=ACCEPTS,
        sent={
            "Accept": "application/json, image/*",
            "Accept-Patch": "application/json, image/*",
        },
    ),
    "too large": Case(
        Call("POST", body=b"12345678901"),
        413,
        "payload_too_large",
        "The body is larger than the limit of 10 bytes",
        route={"max_body_bytes": 10},
    ),
    "not acceptable": Case(
        Call(headers={"Accept": "text/html, application/json;q=0"}),
        406,
        "not_acceptable",
        "Nothing that is produced here satisfies Accept",
        route={"produces": ["application/json"]},
    ),
    "empty key": Case(
        Call(headers={"X-API-Key": ""}),
        400,
        "invalid_request",
        BAD_CREDENTIAL,
        route={"access": "credentials"},
        sent={"WWW-Authenticate": MALFORMED_KEY},
    ),
    "bearer of nothing": Case(
        Call(headers={"Authorization": "Bearer"}),
        400,
        "invalid_request",
        BAD_CREDENTIAL,
        route=CREDENTIALS,
        sent={"WWW-Authenticate": MALFORMED},
    ),
    "a comma inside": Case(
        Call(headers={"X-API-Key": f"{GARBAGE},{GARBAGE}"}),
        400,
        "invalid_request",
        BAD_CREDENTIAL,
        sent={"WWW-Authenticate": MALFORMED_KEY},
    ),
    "white space inside": Case(
        Call(headers={"Authorization": "ApiKey a b"}),
        400,
        "invalid_request",
        BAD_CREDENTIAL,
        route=CREDENTIALS,
        sent={"WWW-Authenticate": MALFORMED_KEY},
    ),
    "two credentials": Case(
        Call(headers={"X-API-Key": GARBAGE, "Authorization": f"ApiKey {GARBAGE}"}),
        400,
        "invalid_request",
        "More than one credential was sent",
        sent={"WWW-Authenticate": MALFORMED},
    ),
    "bad token": Case(
        Call(headers={"Authorization": "Bearer a.b.c"}),
        401,
        "invalid_token",
        TOKEN_INVALID,
        route=CREDENTIALS,
        sent={"WWW-Authenticate": BAD_TOKEN},
    ),
    "expired token": Case(
        Call(headers={"Authorization": "Bearer expired"}),
        401,
        "invalid_token",
        "The access token expired",
        rows=lambda: [issuer()],
        sent={"WWW-Authenticate": EXPIRED_TOKEN},
    ),
    "bad key": Case(
        Call(headers={"X-API-Key": GARBAGE}),
        401,
        "invalid_api_key",
        KEY_INVALID,
        sent={"WWW-Authenticate": BAD_KEY},
    ),
    "bad key as bearer": Case(
        Call(headers={"Authorization": f"Bearer {GARBAGE}"}),
        401,
        "invalid_api_key",
        KEY_INVALID,
        sent={"WWW-Authenticate": BAD_KEY_AS_BEARER},
    ),
    "broken route": Case(
        Call(),
        503,
        "service_unavailable",
        "The service is unavailable, try again later",
        route={"methods": ["get"]},
        retry_after="10",
    ),
    "limit": Case(
        Call(),
        429,
        "too_many_requests",
        "Rate limit exceeded",
        route={"cost": 2},
        rows=lambda: tier("anonymous", 1, 5),
        sent={"Cache-Control": "no-store", "X-RateLimit-Limit": "1"},
        retry_after="3600",
        violated=("anonymous-1",),
    ),
    "no credential": Case(
        Call(),
        401,
        "unauthorized",
        "Authentication credentials were not provided",
        route=CREDENTIALS,
        sent={"WWW-Authenticate": CHALLENGE},
    ),
    "a foreign scheme": Case(
        Call(headers={"Authorization": "Basic eDp5"}),
        401,
        "unauthorized",
        "Authentication credentials were not provided",
        route=CREDENTIALS,
        sent={"WWW-Authenticate": CHALLENGE},
    ),
}


def _rows(case: Case) -> list[Any]:
    rows = case.rows()
    fields = dict(case.route)
    if rows and rows[0]._meta.model_name == "corspolicy":
        fields["cors_policy"] = rows[0]
    if rows and rows[0]._meta.model_name == "tier":
        fields["anonymous_tier"] = rows[0]
    policy = headers(*SECURITY)
    return [route(**fields, header_policy=policy[0]), *policy, *rows]


def _call(case: Case) -> Call:
    if case.call.headers.get("Authorization") == "Bearer expired":
        return case.call.but({"Authorization": f"Bearer {token(exp=1000, iat=1)}"})
    return case.call


TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded"
THROUGH = [
    pytest.param(name, door, id=f"{name}-{door}")
    for name, case in CASES.items()
    for door in case.doors
]


@pytest.mark.parametrize(("name", "door"), THROUGH)
def test_a_refusal_says_exactly_this(name, door):
    case = CASES[name]
    with guarded(*_rows(case)):
        response = DOORS[door](_call(case).but({"X-Request-ID": "the-id"}))
    assert response.status_code == case.status
    assert response.headers["Content-Type"] == "application/problem+json"
    expected = {
        "type": QUOTA if case.violated else "about:blank",
        "title": TITLES[case.status],
        "status": case.status,
        "detail": case.detail,
        "error": case.error,
        "message": case.detail,
        "requestId": "the-id",
    }
    if case.retry_after:
        expected["retryAfter"] = int(case.retry_after)
    if case.violated:
        expected["violated-policies"] = list(case.violated)
    assert list(json.loads(response.content).items()) == list(expected.items())


@pytest.mark.parametrize(("name", "door"), THROUGH)
def test_a_refusal_in_the_simple_format_has_these_members_alone(name, door):
    case = CASES[name]
    with guarded(*_rows(case), ERROR_FORMAT="simple"):
        response = DOORS[door](_call(case).but({"X-Request-ID": "the-id"}))
    assert response.headers["Content-Type"] == "application/json"
    expected = {"error": case.error, "message": case.detail, "requestId": "the-id"}
    if case.retry_after:
        expected["retryAfter"] = int(case.retry_after)
    assert response.json() == expected


@pytest.mark.parametrize(("name", "door"), THROUGH)
def test_a_refusal_carries_exactly_these_headers(name, door):
    case = CASES[name]
    with guarded(*_rows(case)):
        response = DOORS[door](_call(case).but({"X-Request-ID": "the-id"}))
    sent = response.headers
    for header, value in case.sent.items():
        assert sent[header] == value
    assert sent["X-Request-ID"] == "the-id"
    assert sent["X-Frame-Options"] == "DENY"
    assert sent["Content-Length"] == str(len(response.content))
    assert ("WWW-Authenticate" in sent) == ("WWW-Authenticate" in case.sent)
    assert sent.get("Retry-After", "") == case.retry_after
    assert ("RateLimit" in sent) == (name == "limit")
    assert [header for header in sent if header.lower().startswith("access-control-")] == []


SECURITY_MIDDLEWARE = "django.middleware.security.SecurityMiddleware"
OPENER = "Cross-Origin-Opener-Policy"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("policy", ["same-origin", "unsafe-none", None])
@pytest.mark.parametrize("has_security", [True, False], ids=["with", "without"])
def test_a_refusal_has_the_opener_policy_that_views_responses_have(has_security, policy, door):
    middleware = [path for path in MIDDLEWARE if has_security or path != SECURITY_MIDDLEWARE]
    methods = route(methods=["GET", "OPTIONS"])
    with (
        guarded(methods),
        override_settings(MIDDLEWARE=middleware, SECURE_CROSS_ORIGIN_OPENER_POLICY=policy),
    ):
        served, refused = (DOORS[door](Call(method)) for method in ("GET", "DELETE"))
    assert (served.status_code, refused.status_code) == (200, 405)
    expected = policy if has_security else None
    assert served.headers.get(OPENER) == refused.headers.get(OPENER) == expected


def test_a_header_policy_decides_about_the_opener_policy_of_refusals():
    rows = headers((OPENER, "same-origin-allow-popups", "force", "always"))
    with guarded(route(methods=["GET"], header_policy=rows[0]), *rows):
        refused = Call("DELETE").wsgi()
    assert refused.status_code == 405
    assert refused.headers[OPENER] == "same-origin-allow-popups"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("format_", ["problem", "simple"])
@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case.call.method == "GET"]
)
def test_a_refused_head_says_what_get_would(name, format_, door):
    answers = []
    for method in ("GET", "HEAD"):
        case = CASES[name]
        with guarded(*_rows(case), ERROR_FORMAT=format_):
            call = _call(case).but({"X-Request-ID": "the-id"}, method=method)
            response = DOORS[door](call)
        headers = {n: v for n, v in response.headers.items() if "reset" not in n.lower()}
        answers.append((response.status_code, headers))
        assert bool(response.content) == (method == "GET")
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_says_the_same_under_wsgi_and_asgi(name):
    case = CASES[name]
    if len(case.doors) < 2:
        return
    answers = []
    for door in case.doors:
        with guarded(*_rows(case)):
            response = DOORS[door](_call(case).but({"X-Request-ID": "the-id"}))
        stable = re.compile("reset|^ratelimit$", re.IGNORECASE)
        kept = {name: value for name, value in response.headers.items() if not stable.search(name)}
        answers.append((response.status_code, kept, response.content))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "name", [name for name in CASES if not name.startswith("a host that is not ours")]
)
def test_the_stages_alone_come_to_the_same_verdict(name):
    case = CASES[name]
    with guarded(*_rows(case)) as snapshot:
        context = _call(case).context(snapshot)
        verdict = run(pipeline.judge(context), context)
    refusal = verdict.refusal
    assert (refusal.status, refusal.error, refusal.detail) == (
        case.status,
        case.error,
        case.detail,
    )
    assert dict(verdict.all_headers).get("Retry-After", "") == case.retry_after


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("authorization", "scheme"),
    [
        pytest.param(lambda text: {"X-API-Key": text}, "ApiKey", id="key header"),
        pytest.param(lambda text: {"Authorization": f"ApiKey {text}"}, "ApiKey", id="apikey"),
        pytest.param(lambda text: {"Authorization": f"Bearer {text}"}, "Bearer", id="bearer"),
        pytest.param(
            lambda _: {"Authorization": f"Bearer {token(scope='orders:read')}"},
            "Bearer",
            id="token",
        ),
    ],
)
def test_a_missing_scope_names_all_that_are_wanted(door, authorization, scheme):
    caller = Caller()
    wanted = ["orders:write", "orders:read"]
    rows = [route(access="credentials", required_scopes=wanted), issuer(), *caller.rows]
    with guarded(*rows):
        response = DOORS[door](Call(headers=authorization(caller.text)))
    assert response.status_code == 403
    assert response.json()["error"] == "insufficient_permissions"
    assert response.json()["detail"] == "The credential lacks a required scope"
    assert response.headers["WWW-Authenticate"] == (
        f'{scheme} realm="api", error="insufficient_scope", scope="orders:read orders:write"'
    )


@pytest.mark.parametrize("door", DOORS)
def test_a_key_that_cannot_be_looked_up_is_neither_refused_nor_passed(door, monkeypatch):
    def away(key_id: str) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(load, "key", away)
    caller = Caller()
    with guarded(route(access="credentials"), look_up=True):
        response = DOORS[door](Call(headers={"X-API-Key": caller.text}))
    assert response.status_code == 503
    assert response.json()["error"] == "service_unavailable"
    assert response.headers["Retry-After"] == "1"
    assert "WWW-Authenticate" not in response.headers


@pytest.mark.parametrize("door", DOORS)
def test_a_key_is_looked_up_once_and_held(door, monkeypatch):
    asked = []
    monkeypatch.setattr(load, "key", lambda key_id: asked.append(key_id))
    caller = Caller()
    with guarded(route(access="credentials"), look_up=True):
        answers = [DOORS[door](Call(headers={"X-API-Key": caller.text})) for _ in range(3)]
    assert [response.status_code for response in answers] == [401] * 3
    assert asked == [caller.row.key_id]


@pytest.mark.parametrize("door", DOORS)
def test_garbage_is_never_looked_up(door, monkeypatch):
    asked = []
    monkeypatch.setattr(load, "key", asked.append)
    with guarded(route(access="credentials"), look_up=True):
        for text in (GARBAGE, "ag_live_", f"ag_live_{KEY_ID_NOBODY_HAS}_{'0' * 38}", "x"):
            response = DOORS[door](Call(headers={"X-API-Key": text}))
            assert response.status_code == 401
    assert asked == []


@pytest.mark.parametrize("door", DOORS)
def test_too_many_bad_credentials_are_429_and_a_good_one_still_passes(door):
    caller = Caller()
    rows = [route(access="credentials"), *caller.rows]
    with guarded(*rows, FAILED_CREDENTIALS_LIMIT="2/min"):
        bad = [DOORS[door](Call(headers={"X-API-Key": GARBAGE})) for _ in range(3)]
        good = DOORS[door](Call(headers={"X-API-Key": caller.text}))
        nothing = DOORS[door](Call())
    assert [response.status_code for response in bad] == [401, 401, 429]
    assert bad[2].json()["error"] == "too_many_requests"
    assert bad[2].json()["type"] == "about:blank"
    assert 1 <= int(bad[2].headers["Retry-After"]) <= 60
    assert bad[2].json()["retryAfter"] == int(bad[2].headers["Retry-After"])
    assert "WWW-Authenticate" not in bad[2].headers
    assert (good.status_code, nothing.status_code) == (200, 401)


@pytest.mark.parametrize("limit", [None, "1000/min"])
def test_bad_credentials_may_go_uncounted(limit):
    with guarded(route(access="credentials"), FAILED_CREDENTIALS_LIMIT=limit):
        answers = [Call(headers={"X-API-Key": GARBAGE}).wsgi() for _ in range(70)]
    assert {response.status_code for response in answers} == {401}


def test_what_is_no_bad_credential_is_not_counted_as_one(monkeypatch):
    def away(key_id: str) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(load, "key", away)
    caller = Caller()
    with guarded(route(access="credentials"), look_up=True, FAILED_CREDENTIALS_LIMIT="1/min"):
        for headers_ in ({"X-API-Key": caller.text}, {"X-API-Key": "a b"}, {}):
            answers = [Call(headers=headers_).wsgi().status_code for _ in range(3)]
            assert len(set(answers)) == 1
        assert Call(headers={"X-API-Key": GARBAGE}).wsgi().status_code == 401


def test_a_shadow_limit_refuses_nothing_and_is_not_shown():
    rows = tier("anonymous", 1, mode=Limit.Mode.SHADOW)
    with guarded(route(anonymous_tier=rows[0]), *rows):
        answers = [Call().wsgi() for _ in range(3)]
    assert [response.status_code for response in answers] == [200] * 3
    assert "RateLimit" not in answers[2].headers
