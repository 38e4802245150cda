"""Who is let in to ``/api/users/me``, and what everybody else is told."""

from __future__ import annotations

import base64
import json
import re
import string
import zlib

import pytest

from apiguard.request.users import token_principal
from tests.server.calls import new_address, request_head

pytestmark = pytest.mark.slow

NOBODY = 'Bearer realm="api", ApiKey realm="api"'
MALFORMED = 'Bearer realm="api", error="invalid_request", ApiKey realm="api"'
MALFORMED_KEY = 'ApiKey realm="api", error="invalid_request", Bearer realm="api"'
BAD_TOKEN = (
    'Bearer realm="api", error="invalid_token", '
    'error_description="The access token is invalid", ApiKey realm="api"'
)
EXPIRED = BAD_TOKEN.replace("token is invalid", "token expired")
BAD_KEY = 'ApiKey realm="api", error="invalid_token", Bearer realm="api"'
BAD_BEARER_KEY = 'Bearer realm="api", error="invalid_token", ApiKey realm="api"'

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
BOTH_DOORS = pytest.mark.parametrize("path", ["/api/users/me", "/api/plain"])


def refused(answer, status, error, challenge):
    assert (answer.status, answer.headers.getlist("WWW-Authenticate")) == (status, [challenge])
    assert answer.headers["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["error"]) == (status, error)
    assert body["message"] == body["detail"]
    assert body["requestId"] == answer.headers["X-Request-ID"]
    return True


def unpadded(members):
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()


def other_secret(key):
    """A key with the same id and a right checksum, made of another secret."""
    namespace, environment, key_id, _ = key.split("_")
    text = "_".join((namespace, environment, key_id, "0" * 32))
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return text + digits


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(lambda key: {"X-API-Key": key}, id="key header"),
        pytest.param(lambda key: {"Authorization": f"ApiKey {key}"}, id="ApiKey scheme"),
        pytest.param(lambda key: {"Authorization": f"Bearer {key}"}, id="Bearer scheme"),
        pytest.param(lambda key: {"Authorization": f"bEARER {key}"}, id="scheme in any case"),
        pytest.param(
            lambda key: {"X-API-Key": key, "Authorization": "Basic dTpw"},
            id="beside a scheme that is not ours",
        ),
    ],
)
def test_a_key_opens_the_door(site, header):
    answer = site.get("/api/users/me", header(site.demo.api_keys["acme"]))
    assert answer.status == 200
    user = answer.json()["user"]
    assert re.fullmatch(r"client:\d+", user["principal"])
    assert (user["client"], user["tier"]) == ("acme", "standard")
    assert user["scopes"] == ["orders:read", "orders:write"]


def test_the_token_of_the_demonstration_opens_the_door(site):
    answer = site.get("/api/users/me", site.alice)
    assert answer.status == 200
    assert answer.json()["user"]["principal"].endswith(":alice")


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({}, id="plain"),
        pytest.param({"sub": "b\u00f6b"}, id="subject that is not ASCII"),
        pytest.param({"aud": ["other", "apiguard-demo-clients"]}, id="one audience of several"),
        pytest.param({"scope": None}, id="no scope"),
    ],
)
def test_a_token_made_with_the_shared_secret_opens_the_door(site, claims):
    answer = site.get("/api/users/me", {"Authorization": f"Bearer {site.token(**claims)}"})
    assert answer.status == 200
    counted_as = token_principal("", claims.get("sub", "alice")).removeprefix("jwt::")
    assert answer.json()["user"]["principal"].endswith(f":{counted_as}")


@BOTH_DOORS
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"Authorization": "Basic dTpw"}, id="Basic"),
        pytest.param({"Authorization": "Digest username=u"}, id="Digest"),
        pytest.param({"Authorization": ""}, id="empty header"),
        pytest.param({"Cookie": "sessionid=nonsense"}, id="a session that is none"),
    ],
)
def test_a_request_without_our_credential_gets_the_challenge(site, path, headers):
    assert refused(site.get(path, headers), 401, "unauthorized", NOBODY)


def test_a_key_in_the_query_string_is_no_credential(site):
    key = "ag_live_000000000000_0000000000000000000000000000000000000000"
    for name in ("api_key", "X-API-Key", "access_token", "key"):
        assert refused(site.get(f"/api/users/me?{name}={key}"), 401, "unauthorized", NOBODY)


@BOTH_DOORS
@pytest.mark.parametrize(
    ("changed", "challenge"),
    [
        pytest.param({"exp": 1_700_000_100}, EXPIRED, id="expired"),
        pytest.param({"exp": 1_700_000_100, "secret": "x" * 48}, BAD_TOKEN, id="expired, forged"),
        pytest.param({"exp": None}, BAD_TOKEN, id="never expires"),
        pytest.param({"iss": "somebody"}, BAD_TOKEN, id="wrong issuer"),
        pytest.param({"iss": None}, BAD_TOKEN, id="no issuer"),
        pytest.param({"aud": "somebody"}, BAD_TOKEN, id="wrong audience"),
        pytest.param({"aud": None}, BAD_TOKEN, id="no audience"),
        pytest.param({"sub": None}, BAD_TOKEN, id="no subject"),
        pytest.param({"nbf": 3_999_999_999}, BAD_TOKEN, id="not valid yet"),
        pytest.param({"iat": 3_999_999_999}, BAD_TOKEN, id="issued in the future"),
        pytest.param({"secret": "x" * 48}, BAD_TOKEN, id="wrong signature"),
        pytest.param({"algorithm": "HS384"}, BAD_TOKEN, id="algorithm that is not listed"),
        pytest.param({"algorithm": "none"}, BAD_TOKEN, id="alg none"),
    ],
)
def test_a_bad_token_is_refused(site, path, changed, challenge):
    answer = site.get(path, {"Authorization": f"Bearer {site.token(**changed)}"})
    assert refused(answer, 401, "invalid_token", challenge)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "HS256", ""])
def test_no_spelling_of_no_algorithm_gets_in(site, alg):
    claims = {"iss": "apiguard-demo", "aud": "apiguard-demo-clients", "sub": "a", "exp": 4e9}
    for signature in ("", "AA"):
        token = f"{unpadded({'alg': alg})}.{unpadded(claims)}.{signature}"
        answer = site.get("/api/users/me", {"Authorization": f"Bearer {token}"})
        assert refused(answer, 401, "invalid_token", BAD_TOKEN)


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "x" * 7000], ids=["x", "a.b.c", "..", "7k"])
def test_what_is_no_token_is_refused_like_a_bad_one(site, token):
    answer = site.get("/api/users/me", {"Authorization": f"Bearer {token}"})
    assert refused(answer, 401, "invalid_token", BAD_TOKEN)


@BOTH_DOORS
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"), id="typo"),
        pytest.param(other_secret, id="other secret"),
        pytest.param(lambda key: key.lower(), id="lower case"),
        pytest.param(lambda key: key.replace("_live_", "_test_"), id="other environment"),
        pytest.param(lambda key: "garbage", id="garbage"),
        pytest.param(lambda key: "ag_live_" + "x" * 7000, id="long"),
    ],
)
def test_every_bad_key_reads_the_same(site, path, bad):
    key = bad(site.demo.api_keys["acme"])
    by_header = site.get(path, {"X-API-Key": key})
    assert refused(by_header, 401, "invalid_api_key", BAD_KEY)
    by_scheme = site.get(path, {"Authorization": f"ApiKey {key}"})
    assert refused(by_scheme, 401, "invalid_api_key", BAD_KEY)
    assert by_header.json()["detail"] == by_scheme.json()["detail"] == "The API key is invalid"
    if key.startswith("ag_"):
        by_bearer = site.get(path, {"Authorization": f"Bearer {key}"})
        assert refused(by_bearer, 401, "invalid_api_key", BAD_BEARER_KEY)


@BOTH_DOORS
@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        pytest.param({"Authorization": "Bearer"}, MALFORMED, id="empty token"),
        pytest.param({"Authorization": "ApiKey"}, MALFORMED_KEY, id="empty key"),
        pytest.param({"X-API-Key": ""}, MALFORMED_KEY, id="empty key header"),
        pytest.param({"Authorization": "Bearer a b"}, MALFORMED, id="white space inside"),
        pytest.param({"X-API-Key": "a, b"}, MALFORMED_KEY, id="comma inside"),
    ],
)
def test_a_malformed_credential_is_a_malformed_request(site, path, headers, challenge):
    assert refused(site.get(path, headers), 400, "invalid_request", challenge)


@BOTH_DOORS
def test_two_credentials_are_one_too_many(site, path):
    both = {**site.acme, **site.alice}
    assert refused(site.get(path, both), 400, "invalid_request", MALFORMED)


@pytest.mark.parametrize(
    ("name", "challenge"), [("Authorization", MALFORMED), ("X-API-Key", MALFORMED_KEY)]
)
def test_the_same_header_twice_is_one_too_many(site, name, challenge):
    key = site.demo.api_keys["acme"]
    value = f"Bearer {key}" if name == "Authorization" else key
    headers = [("X-Forwarded-For", new_address()), (name, value), (name, value)]
    answer = site.exchange(request_head("GET", "/api/users/me", headers))
    assert answer is not None
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (400, challenge)


def test_guessing_is_slowed_down_and_good_keys_still_pass(site):
    address = "10.255.0.1"
    answers = [
        site.get("/api/users/me", {"X-API-Key": "ag_live_guess"}, address=address)
        for _ in range(125)
    ]
    # Counted by each worker for itself: 60 each, and no server here has more than two.
    slowed = [answer for answer in answers if answer.status == 429]
    assert len(slowed) >= 125 - 2 * 60
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in slowed)
    assert {answer.status for answer in answers} == {401, 429}
    assert site.get("/api/users/me", site.acme, address=address).status == 200
