"""What is asked at three in the morning: the guard and its explanation say the same each time.

Each explanation names a row or a setting, and the desk says what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from django.utils import timezone

from apiguard.models import BlockedNetwork
from apiguard.request.remedies import find_remedy
from apiguard.rules import keys
from apiguard.testing import explain

from .site import (
    ALLOWED,
    FOREIGN,
    Call,
    Caller,
    cors,
    guarded,
    issuer,
    route,
    tampered,
    tier,
    token,
)

pytestmark = pytest.mark.django_db


class Situation(NamedTuple):
    """A policy and a request to it; ``call`` is sent ``before`` times in advance."""

    rows: list[Any]
    call: Call
    settings: dict[str, Any] = {}
    before: int = 0


class Expected(NamedTuple):
    """What both have to say; status ``None``: the view answers."""

    status: int | None
    outcome: str
    reason: str = ""
    row: str = ""
    enforced: bool = True


def with_key(sent: dict[str, str] | None = None, *, wants: list[str] | None = None, **fields: Any):
    caller = Caller(**fields)
    where = route(access="credentials", required_scopes=wants or [])
    return Situation([where, *caller.rows], Call(headers=sent or {"X-API-Key": caller.text}))


def with_token(text: str) -> Situation:
    sent = {"Authorization": f"Bearer {text}"}
    return Situation([route(access="credentials"), issuer()], Call(headers=sent))


def from_browser(origin: str, method: str = "", header: str = "") -> Situation:
    policy = cors(ALLOWED)
    sent = {"Origin": origin}
    if method:
        sent |= {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": header}
    call = Call(method="OPTIONS" if method else "GET", headers=sent)
    return Situation([*policy, route(cors_policy=policy[0])], call)


def to_route(call: Call, **fields: Any) -> Situation:
    return Situation([route(**fields)], call)


def blocked() -> Situation:
    return Situation([route(), BlockedNetwork(network="127.0.0.0/8", reason="scans")], Call())


def over_the_limit() -> Situation:
    limits = tier("anonymous", 2)
    return Situation([route(anonymous_tier=limits[0]), *limits], Call(), before=2)


def key_guessed() -> Situation:
    asked = with_key({"X-API-Key": keys.generate("ag", "live").text})
    return asked._replace(settings={"FAILED_CREDENTIALS_LIMIT": "2/min"}, before=2)


def two_credentials() -> Situation:
    asked = with_key()
    return asked._replace(call=asked.call.but({"Authorization": f"Bearer {token()}"}))


def ago(**time: float) -> Any:
    return timezone.now() - timedelta(**time)


POST = Call(method="POST", body=b"123456")
NETWORK = {"allowed_networks": ["192.0.2.0/24"]}

SITUATIONS: dict[str, tuple[Callable[[], Situation], Expected]] = {
    "a blocked address": (
        blocked,
        Expected(403, "address_blocked", "blocked for good: scans", "blockednetwork"),
    ),
    "a preflight that is allowed": (
        lambda: from_browser(ALLOWED, "PUT", "authorization"),
        Expected(204, "preflight_answered"),
    ),
    "a preflight of a foreign website": (
        lambda: from_browser(FOREIGN, "PUT"),
        Expected(403, "preflight_foreign_origin", f"{FOREIGN} is not in browsers", "corspolicy"),
    ),
    "a preflight for another method": (
        lambda: from_browser(ALLOWED, "DELETE"),
        Expected(403, "preflight_method", "the browser wants 'DELETE'", "corspolicy"),
    ),
    "a preflight for another header": (
        lambda: from_browser(ALLOWED, "PUT", "x-other"),
        Expected(403, "preflight_header", "the browser wants 'x-other'", "corspolicy"),
    ),
    "a foreign website": (
        lambda: from_browser(FOREIGN),
        Expected(403, "foreign_origin", f"{FOREIGN} is not in browsers", "corspolicy"),
    ),
    "a scope is missing": (
        lambda: with_key(wants=["orders:write"]),
        Expected(403, "scope_missing", "needs orders:write; the key has orders:read", "route"),
    ),
    "no credential": (
        lambda: to_route(Call(), access="credentials"),
        Expected(401, "no_credential", "the route wants a credential", "route"),
    ),
    "a key of another database": (
        lambda: with_key({"X-API-Key": keys.generate("ag", "live").text}),
        Expected(401, "key_unknown", "no key has the id"),
    ),
    "a mistyped key": (
        lambda: with_key({"X-API-Key": "ag_live_typo"}),
        Expected(401, "key_malformed", "mistyped, cut short"),
    ),
    "a revoked key": (
        lambda: with_key(key_fields={"revoked_at": ago(days=1)}),
        Expected(401, "key_revoked", "is revoked", "apikey"),
    ),
    "an expired key": (
        lambda: with_key(key_fields={"expires_at": ago(days=1)}),
        Expected(401, "key_expired", "expired at", "apikey"),
    ),
    "a key that begins tomorrow": (
        lambda: with_key(key_fields={"not_before": ago(days=-1)}),
        Expected(401, "key_not_yet_valid", "is valid from", "apikey"),
    ),
    "a key from another network": (
        lambda: with_key(key_fields=NETWORK),
        Expected(401, "key_wrong_network", "192.0.2.0/24; the address is 127.0.0.1", "apikey"),
    ),
    "a client from another network": (
        lambda: with_key(client_fields=NETWORK),
        Expected(401, "client_wrong_network", "192.0.2.0/24; the address is 127.0.0.1", "client"),
    ),
    "a disabled client": (
        lambda: with_key(client_fields={"enabled": False}),
        Expected(401, "client_disabled", "client acme is disabled", "client"),
    ),
    "an expired token": (
        lambda: with_token(token(exp=1, iat=0)),
        Expected(401, "token_expired", "issuer tests does not accept the token", "jwtissuer"),
    ),
    "a token that was changed": (
        lambda: with_token(tampered(token())),
        Expected(401, "token_refused", "issuer tests does not accept the token", "jwtissuer"),
    ),
    "a token of a stranger": (
        lambda: with_token(token(iss="https://other.example")),
        Expected(401, "token_refused", "which is not an enabled issuer"),
    ),
    "over the limit": (
        over_the_limit,
        Expected(429, "limit_exceeded", "used 2 of 2 per hour; 1 more in", "limit"),
    ),
    "too many bad keys": (
        key_guessed,
        Expected(429, "too_many_bad_credentials", "FAILED_CREDENTIALS_LIMIT admits (2 per minute)"),
    ),
    "two credentials": (two_credentials, Expected(400, "two_credentials", "this one brings two")),
    "a key with a line break": (
        lambda: with_key({"X-API-Key": "ag_live_a b"}),
        Expected(400, "credential_malformed", "white space"),
    ),
    "another method": (
        lambda: to_route(Call(method="PUT"), methods=["GET"]),
        Expected(405, "method_not_listed", "the method is PUT", "route"),
    ),
    "another media type": (
        lambda: to_route(POST, accepts=["text/csv"]),
        Expected(415, "media_type_not_accepted", "the route accepts text/csv", "route"),
    ),
    "a body that is too large": (
        lambda: to_route(POST, max_body_bytes=5),
        Expected(413, "body_too_large", "the route takes 5 bytes; the body has 6", "route"),
    ),
    "another Accept": (
        lambda: to_route(Call(headers={"Accept": "text/csv"}), produces=["application/json"]),
        Expected(406, "not_acceptable", "Accept is 'text/csv'", "route"),
    ),
    "a closed route": (
        lambda: to_route(Call(), mode="closed"),
        Expected(503, "route_closed", "closed", "route"),
    ),
    "a route that observes": (
        lambda: to_route(Call(), mode="observe", access="credentials"),
        Expected(None, "no_credential", "the route wants a credential", "route", enforced=False),
    ),
    "a route that is off": (
        lambda: to_route(Call(), mode="off", access="credentials"),
        Expected(None, "admitted"),
    ),
    "an exempt path": (
        lambda: to_route(Call(), access="credentials")._replace(
            settings={"EXEMPT_PATHS": ["/api/"]}
        ),
        Expected(None, "admitted"),
    ),
    "a path without a route": (
        lambda: to_route(Call(path="/elsewhere"), access="credentials"),
        Expected(None, "admitted"),
    ),
    "all is well": (with_key, Expected(None, "admitted")),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_guard_and_its_explanation_say_the_same_and_what_to_do(name):
    build, expected = SITUATIONS[name]
    asked = build()
    with guarded(*asked.rows, **asked.settings):
        for _ in range(asked.before):
            asked.call.wsgi()
        call = asked.call
        body = {"Content-Type": call.content_type} if call.body else {}
        said = explain(call.method, call.path, headers={**body, **call.headers}, body=call.body)
        real = call.wsgi()
    assert (said.outcome, said.status) == (expected.outcome, expected.status)
    # The view of /elsewhere is none: Django answers 404, which the guard does not know.
    assert real.status_code == (expected.status or (404 if call.path == "/elsewhere" else 200))
    refused = expected.outcome not in ("admitted", "preflight_answered")
    assert (said.would_refuse, said.refused) == (refused, refused and expected.enforced)
    if refused:
        assert expected.reason in said.deciding.reason
        assert ("" if said.deciding.row is None else said.deciding.row.model) == expected.row
        assert find_remedy(said.outcome) != "Nothing."
