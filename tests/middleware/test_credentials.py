"""Every way to send a credential, every way in which it is bad, and what the view sees."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from apiguard.models import ApiKey
from apiguard.models import Client as ClientRow
from apiguard.policy import load
from apiguard.request.verdict import Outcome
from apiguard.rules import keys
from apiguard.telemetry.buffer import buffer
from tests.request.site import (
    BAD_KEY,
    BAD_TOKEN,
    CHALLENGE,
    DOORS,
    EXPIRED_TOKEN,
    MALFORMED,
    MALFORMED_KEY,
    Call,
    Caller,
    guarded,
    issuer,
    route,
    settings_of,
    tampered,
    token,
)

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
ACCESS = ["public", "application", "credentials"]
PATHS = ["/api/plain", "/api/drf/open"]


def seen(call, *rows, access="credentials", door="wsgi", **members):
    """The response of this site behind one route."""
    with guarded(route(access=access), issuer(), *rows, **members):
        return DOORS[door](call)


# -- ways to send one -----------------------------------------------------------


WAYS = [
    pytest.param(lambda key: {"X-API-Key": key}, "k", id="key header"),
    pytest.param(lambda key: {"X-API-Key": f" \t{key} "}, "k", id="key header, padded"),
    pytest.param(lambda key: {"Authorization": f"ApiKey {key}"}, "k", id="ApiKey"),
    pytest.param(lambda key: {"Authorization": f"APIKEY {key}"}, "k", id="APIKEY"),
    pytest.param(lambda key: {"Authorization": f"apikey   {key} "}, "k", id="apikey, blanks"),
    pytest.param(lambda key: {"Authorization": f"Api-Key {key}"}, "k", id="Api-Key"),
    pytest.param(lambda key: {"Authorization": f"aPI-kEY {key}"}, "k", id="aPI-kEY"),
    pytest.param(lambda key: {"Authorization": f"Bearer {key}"}, "k", id="a key as Bearer"),
    pytest.param(lambda key: {"Authorization": f"bEARER {key}"}, "k", id="bEARER"),
    pytest.param(lambda _: {"Authorization": f"Bearer {token()}"}, "t", id="token"),
    pytest.param(lambda _: {"Authorization": f"BEARER {token()}"}, "t", id="token, BEARER"),
    pytest.param(
        lambda key: {"X-API-Key": key, "Authorization": "Basic eDp5"},
        "k",
        id="a foreign scheme beside a key",
    ),
    pytest.param(
        lambda key: {"X-API-Key": key, "Authorization": ""}, "k", id="nothing beside a key"
    ),
]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/api/plain", "/api/async", "/api/drf"])
@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize(("way", "kind"), WAYS)
def test_a_good_credential_is_accepted_however_it_is_sent(door, path, access, way, kind):
    caller = Caller()
    call = Call(path=path, headers=way(caller.text))
    response = seen(call, *caller.rows, access=access, door=door)
    if access == "application":  # The project says who its users are, and here nobody is.
        assert response.status_code == (401 if path == "/api/drf" else 200)
        assert response.wsgi_request.user.is_anonymous if door == "wsgi" else True
        return
    assert response.status_code == 200
    answer = response.json()
    assert answer["user"] == ("client:acme" if kind == "k" else "alice")
    assert answer["type"] == ("ClientUser" if kind == "k" else "TokenUser")
    assert answer["scopes"] == (["orders:read"] if kind == "k" else ["orders:read", "orders:write"])
    assert answer["principal"].startswith("client:" if kind == "k" else "jwt:")
    assert answer.get("auser", answer["user"]) == answer["user"]
    assert response.headers["Vary"].endswith("Authorization, X-API-Key")


@pytest.mark.parametrize("middleware", [True, False], ids=["with", "without"])
def test_api_key_with_a_hyphen_is_the_same_scheme(middleware):
    caller = Caller()
    with guarded(route(access="credentials"), *caller.rows, middleware=middleware):
        good, bad = (
            Call(path="/api/drf", headers={"Authorization": f"Api-Key {text}"}).wsgi()
            for text in (caller.text, "ag_live_garbage")
        )
    assert (good.status_code, good.json()["user"]) == (200, "client:acme")
    assert (bad.status_code, bad.headers["WWW-Authenticate"]) == (401, BAD_KEY)


@pytest.mark.parametrize("access", ACCESS)
def test_no_credential_is_read_from_the_query(access):
    caller = Caller()
    call = Call(path=f"/api/plain?X-API-Key={caller.text}&api_key={caller.text}&access_token=x")
    response = seen(call, *caller.rows, access=access)
    assert response.status_code == (401 if access == "credentials" else 200)
    if access != "credentials":
        assert response.json()["type"] == "AnonymousUser"


# -- malformed, and two at once -------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        pytest.param({"X-API-Key": ""}, MALFORMED_KEY, id="empty key"),
        pytest.param({"X-API-Key": " \t"}, MALFORMED_KEY, id="blank key"),
        pytest.param({"X-API-Key": "a b"}, MALFORMED_KEY, id="a blank inside"),
        pytest.param({"X-API-Key": "a,b"}, MALFORMED_KEY, id="a comma inside"),
        pytest.param({"Authorization": "ApiKey"}, MALFORMED_KEY, id="ApiKey of nothing"),
        pytest.param({"Authorization": "ApiKey "}, MALFORMED_KEY, id="ApiKey of a blank"),
        pytest.param({"Authorization": "Bearer"}, MALFORMED, id="Bearer of nothing"),
        pytest.param({"Authorization": "Bearer a b"}, MALFORMED, id="Bearer, a blank inside"),
        pytest.param({"Authorization": "Bearer a\tb"}, MALFORMED, id="Bearer, a tab inside"),
        pytest.param({"Authorization": "Bearer a.b.c,Bearer d"}, MALFORMED, id="two lines"),
        pytest.param({"Authorization": "Bearer a\xa0b"}, MALFORMED, id="no-break space"),
        pytest.param(
            {"Authorization": "Bearer a.b.c", "X-API-Key": "x"}, MALFORMED, id="two kinds"
        ),
        pytest.param(
            {"Authorization": "ApiKey a", "X-API-Key": "a"}, MALFORMED, id="the same key twice"
        ),
        pytest.param(
            {"Authorization": "ApiKey a", "X-API-Key": ""}, MALFORMED, id="two, one is empty"
        ),
    ],
)
def test_a_malformed_credential_is_a_malformed_request(path, headers, challenge):
    response = seen(Call(path=path, headers=headers))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert response.headers["WWW-Authenticate"] == challenge


# -- what is left to the project ------------------------------------------------


THEIRS = [
    pytest.param({"Authorization": "Basic eDp5"}, id="Basic"),
    pytest.param({"Authorization": "Token abc"}, id="Token"),
    pytest.param({"Authorization": "Digest a=1, b=2"}, id="Digest"),
    pytest.param({"Authorization": "Bearer opaque"}, id="an opaque token"),
    pytest.param({"Authorization": "Bearer a.b.c"}, id="the shape of a token"),
    pytest.param({"Authorization": "Bearer"}, id="Bearer of nothing"),
    pytest.param({"Authorization": "Bearer a, b c"}, id="a malformed token"),
    pytest.param({"Authorization": "ApiKey theirs"}, id="a key of another shape"),
    pytest.param({"Authorization": "ApiKey agent_x"}, id="a namespace that begins like ours"),
    pytest.param({"Authorization": ""}, id="nothing"),
    pytest.param({"Authorization": "Bearerag_live_x"}, id="no scheme"),
]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("access", ["public", "application"])
@pytest.mark.parametrize("headers", THEIRS)
def test_what_is_not_certainly_ours_is_left_untouched(door, access, headers):
    response = seen(Call(headers=headers), access=access, door=door)
    assert response.status_code == 200
    assert response.json()["type"] == "AnonymousUser"


@pytest.mark.parametrize("access", ["public", "application"])
def test_a_token_of_an_issuer_that_is_unknown_or_disabled_is_the_project_s(access):
    for text in (token(iss="https://other.example"), token(iss=None)):
        assert (
            seen(Call(headers={"Authorization": f"Bearer {text}"}), access=access).json()["type"]
            == "AnonymousUser"
        )
    with guarded(route(access=access), issuer(enabled=False)):
        response = Call(headers={"Authorization": f"Bearer {token()}"}).wsgi()
    assert response.json()["type"] == "AnonymousUser"


def test_the_project_s_own_tokens_go_on_working_in_drf():
    call = Call(path="/api/drf/own", headers={"Authorization": "Bearer projects-own"})
    assert seen(call, access="application").json() == {"auth": "own"}
    bad = Call(path="/api/drf/own", headers={"Authorization": "Bearer not-theirs"})
    refused = seen(bad, access="application")
    assert (refused.status_code, refused.json()["detail"]) == (401, "Not one of mine")


@pytest.mark.parametrize("access", ACCESS)
@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        pytest.param({"X-API-Key": "ag_x"}, 401, "invalid_api_key", id="the key header"),
        pytest.param({"Authorization": "Bearer ag_x"}, 401, "invalid_api_key", id="our shape"),
        pytest.param({"Authorization": "ApiKey ag_x"}, 401, "invalid_api_key", id="as ApiKey"),
        pytest.param({"Authorization": "tampered"}, 401, "invalid_token", id="our issuer's"),
    ],
)
def test_what_is_certainly_ours_is_judged_everywhere(access, headers, status, error):
    if headers.get("Authorization") == "tampered":
        headers = {"Authorization": f"Bearer {tampered(token())}"}
    response = seen(Call(headers=headers), access=access)
    assert (response.status_code, response.json()["error"]) == (status, error)


@pytest.mark.parametrize("access", ["public", "application"])
@pytest.mark.parametrize("key", ["theirs", "", "a b", "AG_x"])
def test_a_key_of_another_shape_is_the_project_s_own(access, key):
    headers = {"X-API-Key": key, "Authorization": "Bearer projects-own"}
    call = Call(path="/api/drf/own", headers=headers)
    assert seen(call, access=access).json() == {"auth": "own"}


# -- bad keys: one answer -------------------------------------------------------


def _other_secret(text: str) -> str:
    namespace, environment, key_id, _ = text.split("_")
    body = f"{namespace}_{environment}_{key_id}_{'Z' * 32}"
    return body + keys._checksum(body)


def _other_environment(text: str) -> str:
    body = text.replace("_live_", "_test_")[:-6]
    return body + keys._checksum(body)


BAD_KEYS = [
    pytest.param({}, {}, lambda _: "x", {}, Outcome.KEY_MALFORMED, id="garbage"),
    pytest.param(
        {}, {}, lambda text: text[:-1] + "~", {}, Outcome.KEY_MALFORMED, id="a wrong character"
    ),
    pytest.param({}, {}, lambda text: text + "x", {}, Outcome.KEY_MALFORMED, id="too long"),
    pytest.param({}, {}, lambda text: text.upper(), {}, Outcome.KEY_MALFORMED, id="upper case"),
    pytest.param(
        {},
        {},
        lambda _: keys.generate("ag", "live").text,
        {},
        Outcome.KEY_UNKNOWN,
        id="unknown",
    ),
    pytest.param({}, {}, _other_secret, {}, Outcome.KEY_WRONG_SECRET, id="another secret"),
    pytest.param(
        {}, {}, _other_environment, {}, Outcome.KEY_WRONG_SECRET, id="another environment"
    ),
    pytest.param({"revoked_at": NOW}, {}, str, {}, Outcome.KEY_REVOKED, id="revoked"),
    pytest.param({"expires_at": NOW - HOUR}, {}, str, {}, Outcome.KEY_EXPIRED, id="expired"),
    pytest.param(
        {"not_before": NOW + HOUR}, {}, str, {}, Outcome.KEY_NOT_YET_VALID, id="not yet valid"
    ),
    pytest.param(
        {"allowed_networks": ["192.0.2.0/24"]},
        {},
        str,
        {},
        Outcome.KEY_WRONG_NETWORK,
        id="another network",
    ),
    pytest.param(
        {},
        {"allowed_networks": ["2001:db8::/32"]},
        str,
        {},
        Outcome.CLIENT_WRONG_NETWORK,
        id="another network of the client",
    ),
    pytest.param({}, {"enabled": False}, str, {}, Outcome.CLIENT_DISABLED, id="client disabled"),
    pytest.param(
        {"environment": "test"},
        {},
        str,
        {"ALLOW_TEST_KEYS": False},
        Outcome.KEY_TEST_NOT_ALLOWED,
        id="test keys are not allowed",
    ),
    pytest.param({"scopes": ["a b"]}, {}, str, {}, Outcome.KEY_BROKEN, id="a broken row"),
    pytest.param(
        {}, {"allowed_networks": ["x"]}, str, {}, Outcome.KEY_BROKEN, id="a broken client"
    ),
]


def _caller(key_fields, client_fields):
    caller = Caller(client_fields=client_fields)
    built = {"environment": key_fields["environment"]} if "environment" in key_fields else {}
    if built:
        caller = Caller(key_fields=built, client_fields=client_fields)
    for name, value in key_fields.items():
        setattr(caller.row, name, value)
    return caller


@pytest.mark.parametrize("middleware", [True, False], ids=["with", "without"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["X-API-Key", "Bearer", "ApiKey"])
@pytest.mark.parametrize(("key", "client", "sent", "members", "outcome"), BAD_KEYS)
def test_every_bad_key_gets_the_same_bytes(
    middleware, path, scheme, key, client, sent, members, outcome
):
    if not middleware and path == "/api/plain":
        path = "/api/drf"
    caller = _caller(key, client)
    text = sent(caller.text)
    if scheme != "X-API-Key" and not text.startswith("ag_"):
        text = "ag_live_garbage"
        outcome = Outcome.KEY_MALFORMED
    headers = {scheme: text} if scheme == "X-API-Key" else {"Authorization": f"{scheme} {text}"}
    rows = [route(access="credentials"), *caller.rows]
    call = Call(path=path, headers={**headers, "X-Request-ID": "the-id"})
    with guarded(*rows, middleware=middleware, **members):
        response = call.wsgi()
    assert response.status_code == 401
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["WWW-Authenticate"] == (
        'Bearer realm="api", error="invalid_token", ApiKey realm="api"'
        if scheme == "Bearer"
        else BAD_KEY
    )
    assert response.content == (
        b'{"type": "about:blank", "title": "Unauthorized", "status": 401, '
        b'"detail": "The API key is invalid", "error": "invalid_api_key", '
        b'"message": "The API key is invalid", "requestId": "the-id"}'
    )
    assert response.wsgi_request.apiguard.verdict.outcome is outcome


@pytest.mark.parametrize(
    ("environment", "allowed", "status"),
    [("live", True, 200), ("live", False, 200), ("test", True, 200), ("test", False, 401)],
)
def test_test_keys_alone_can_be_switched_off(environment, allowed, status):
    caller = Caller(key_fields={"environment": environment})
    call = Call(headers={"X-API-Key": caller.text})
    assert seen(call, *caller.rows, ALLOW_TEST_KEYS=allowed).status_code == status


def test_keys_are_good_at_the_edges_of_their_times():
    caller = _caller({"not_before": NOW - HOUR, "expires_at": NOW + HOUR}, {})
    assert seen(Call(headers={"X-API-Key": caller.text}), *caller.rows).status_code == 200


@pytest.mark.parametrize(
    ("networks", "forwarded", "status"),
    [
        pytest.param(["127.0.0.0/8"], None, 200, id="the peer"),
        pytest.param(["192.0.2.0/24"], "192.0.2.7", 200, id="behind a proxy"),
        pytest.param(["192.0.2.0/24"], "192.0.2.7, 198.51.100.1", 401, id="the nearest stranger"),
        pytest.param(["127.0.0.0/8"], "192.0.2.7", 401, id="the proxy's own network"),
    ],
)
def test_networks_are_held_against_the_client_s_address(networks, forwarded, status):
    caller = _caller({"allowed_networks": networks}, {})
    headers = {"X-API-Key": caller.text}
    if forwarded:
        headers["X-Forwarded-For"] = forwarded
    response = seen(
        Call(headers=headers), *caller.rows, TRUSTED_PROXIES=["127.0.0.1"] if forwarded else []
    )
    assert response.status_code == status


def test_a_key_made_without_a_pepper_keeps_verifying():
    caller = Caller()
    caller.row.pepper_id = ""
    caller.row.digest = keys.digest(caller.text, None)
    assert seen(Call(headers={"X-API-Key": caller.text}), *caller.rows).status_code == 200


def test_a_key_of_an_older_pepper_keeps_verifying():
    caller = Caller()
    peppers = {"newer": "n" * 32, **settings_of()["KEY_PEPPERS"]}
    response = seen(Call(headers={"X-API-Key": caller.text}), *caller.rows, KEY_PEPPERS=peppers)
    assert response.status_code == 200


# -- bad tokens -----------------------------------------------------------------


def now():
    """Asked when a token is made, not when the tests are collected."""
    return int(time.time())


def _without_signature(text: str) -> str:
    return text.rsplit(".", 1)[0] + "."


BAD_TOKENS = [
    pytest.param(lambda: "a.b.c", id="no token"),
    pytest.param(lambda: "a" * 9000, id="too long"),
    pytest.param(lambda: token(iss="https://other.example"), id="another issuer"),
    pytest.param(lambda: token(iss="https://issuer.example/"), id="nearly the issuer"),
    pytest.param(lambda: token(iss=None), id="no issuer"),
    pytest.param(lambda: token(aud="billing"), id="another audience"),
    pytest.param(lambda: token(aud=None), id="no audience"),
    pytest.param(lambda: token(aud=["billing", "x"]), id="other audiences"),
    pytest.param(lambda: token(exp=None), id="no exp"),
    pytest.param(lambda: token(sub=None), id="no subject"),
    pytest.param(lambda: token(sub=""), id="an empty subject"),
    pytest.param(lambda: token(sub="a\nb"), id="an unprintable subject"),
    pytest.param(lambda: token(nbf=now() + 600), id="not yet valid"),
    pytest.param(lambda: token(iat=now() + 600), id="issued in the future"),
    pytest.param(lambda: token(iat=now() + 600, exp=now() + 900), id="wholly in the future"),
    pytest.param(lambda: token(algorithm="none"), id="alg none"),
    pytest.param(lambda: token(algorithm="HS384", secret="s" * 48), id="another algorithm"),
    pytest.param(lambda: token(secret="x" * 40), id="another secret"),
    pytest.param(lambda: tampered(token()), id="tampered"),
    pytest.param(lambda: _without_signature(token()), id="no signature"),
    pytest.param(lambda: tampered(token(exp=now() - 600)), id="tampered and expired"),
    pytest.param(lambda: token(aud="billing", exp=now() - 600), id="expired, for somebody else"),
]


def test_a_key_of_an_older_pepper_is_hashed_anew_in_passing():
    buffer._reset()
    caller = Caller()
    peppers = {"newer": "n" * 32, **settings_of()["KEY_PEPPERS"]}
    call = Call(headers={"X-API-Key": caller.text})
    with guarded(route(), *caller.rows, KEY_PEPPERS=peppers) as snapshot:
        assert [call.wsgi().status_code for _ in range(3)] == [200] * 3
        held = snapshot.keyring.get(caller.row.key_id)
    digest = keys.digest(caller.text, b"n" * 32)
    assert (held.digest, held.pepper_id) == (digest, "newer")
    assert buffer._pending.rehashed == {caller.row.pk: (caller.row.digest, digest, "newer")}


@pytest.mark.django_db
def test_the_new_digest_is_written_away_from_requests_and_publishes_nothing():
    client = ClientRow.objects.create(slug="acme", name="Acme")
    key, _ = ApiKey.objects.issue(client, "k")
    revision = load.state().revision
    buffer._reset()
    buffer.rehashed(key.pk, key.digest, "0" * 64, "newer")
    buffer.flush()
    key.refresh_from_db()
    assert (key.digest, key.pepper_id) == ("0" * 64, "newer")
    assert load.state().revision == revision


@pytest.mark.parametrize("middleware", [True, False], ids=["with", "without"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("text", BAD_TOKENS)
def test_every_bad_token_gets_the_same_bytes(middleware, path, text):
    if not middleware and path == "/api/plain":
        path = "/api/drf"
    call = Call(path=path, headers={"Authorization": f"Bearer {text()}", "X-Request-ID": "the-id"})
    with guarded(route(access="credentials"), issuer(), middleware=middleware):
        response = call.wsgi()
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == BAD_TOKEN
    assert response.content == (
        b'{"type": "about:blank", "title": "Unauthorized", "status": 401, '
        b'"detail": "The access token is invalid", "error": "invalid_token", '
        b'"message": "The access token is invalid", "requestId": "the-id"}'
    )


@pytest.mark.parametrize("path", PATHS)
def test_only_who_holds_a_good_token_learns_that_it_expired(path):
    text = token(exp=now() - 600, iat=now() - 1200)
    response = seen(Call(path=path, headers={"Authorization": f"Bearer {text}"}))
    assert response.status_code == 401
    assert response.json()["detail"] == "The access token expired"
    assert response.headers["WWW-Authenticate"] == EXPIRED_TOKEN


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            lambda: token(exp=now() - 10, iat=now() - 600), id="expired within the leeway"
        ),
        pytest.param(lambda: token(iat=now() + 10), id="issued within the leeway"),
        pytest.param(lambda: token(aud=["billing", "orders"]), id="one of the audiences"),
        pytest.param(lambda: token(kid="demo"), id="the name of the secret as kid"),
        pytest.param(lambda: token(nbf=now() - 5), id="valid by now"),
        pytest.param(lambda: token(iat=None), id="no iat"),
    ],
)
def test_a_token_within_the_rules_is_good(text):
    assert seen(Call(headers={"Authorization": f"Bearer {text()}"})).status_code == 200


@pytest.mark.parametrize("realm", ["api", "Orders, v2"])
def test_the_realm_is_named_in_the_challenge(realm):
    response = seen(Call(), REALM=realm)
    assert response.headers["WWW-Authenticate"] == CHALLENGE.replace('"api"', f'"{realm}"')


# -- nothing sent ---------------------------------------------------------------


@pytest.mark.parametrize("middleware", [True, False], ids=["with", "without"])
@pytest.mark.parametrize("path", ["/api/plain", "/api/drf", "/api/drf/open", "/api/drf/scoped"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic eDp5"}])
def test_no_credential_gets_the_same_bytes_through_both_doors(middleware, path, headers):
    if not middleware and path == "/api/plain":
        path = "/api/drf"
    call = Call(path=path, headers={**headers, "X-Request-ID": "the-id"})
    with guarded(route(access="credentials"), middleware=middleware):
        response = call.wsgi()
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == CHALLENGE
    assert response.content == (
        b'{"type": "about:blank", "title": "Unauthorized", "status": 401, '
        b'"detail": "Authentication credentials were not provided", "error": "unauthorized", '
        b'"message": "Authentication credentials were not provided", "requestId": "the-id"}'
    )


@pytest.mark.parametrize("middleware", [True, False], ids=["with", "without"])
def test_a_view_that_wants_a_credential_on_a_public_route_says_the_same(middleware):
    call = Call(path="/api/drf/scoped", headers={"X-Request-ID": "the-id"})
    with guarded(route(), middleware=middleware):
        response = call.wsgi()
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == CHALLENGE
    assert response.json()["error"] == "unauthorized"
    assert response.json()["detail"] == "Authentication credentials were not provided"
