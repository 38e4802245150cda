"""Whatever bytes a request is made of: an answer, never an exception, never a 5xx."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.rules import keys
from tests.examples import examples
from tests.request.site import (
    ALLOWED,
    DOORS,
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

# What a header can bring: any byte, as latin-1; more than any server lets through.
RAW = st.text(st.characters(max_codepoint=255), max_size=80)
LONG = st.integers(1, 12).flatmap(lambda power: st.just("a," * 2**power))


def near(*good: str) -> st.SearchStrategy[str]:
    """Texts that nearly mean something: pieces of good ones and raw bytes, joined."""
    pieces = st.one_of(st.sampled_from(good), RAW)
    return st.lists(pieces, min_size=1, max_size=4).map("".join) | RAW | LONG


CALLER = Caller()
HEADERS = {
    "Authorization": near(
        "Bearer ",
        "ApiKey ",
        "bearer",
        "Basic ",
        CALLER.text,
        "ag_live_",
        token(),
        "a.b.c",
        " ",
        ",",
    ),
    "X-API-Key": near(CALLER.text, "ag_", "ag_live_", keys.generate("ag", "test").text, " ", ","),
    "Origin": near(ALLOWED, "null", "https://", "http://testserver", "*", "[::1]", ":", "@"),
    "Accept": near("application/json", "text/html", "*/*", ";q=", ",", '"', "\\", "0.5"),
    "Content-Type": near("application/json", "multipart/form-data", "; boundary=", '"', "x"),
    "Content-Length": near("0", "1", "-", "+", "_", "10", "99999999999999999999", "\u00b2"),
    "X-Forwarded-For": near("192.0.2.1", "::1", "[::1]:80", ",", "unknown", "%eth0"),
    "X-Forwarded-Proto": near("https", "http", ","),
    "X-Request-ID": near("abc", "-", "."),
    "Access-Control-Request-Method": near("GET", "PUT", "put", "*"),
    "Access-Control-Request-Headers": near("authorization", "x-api-key", ",", "*"),
    "Sec-Fetch-Site": near("same-origin", "none", "cross-site"),
    "Host": near("testserver", ":80", "[", "]", "evil.example", "/", "@"),
}
CREDENTIALS = {name: HEADERS[name] for name in ("Authorization", "X-API-Key")}
METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]) | st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20
)
CALLS = st.builds(
    Call,
    method=METHODS,
    path=st.sampled_from(["/api/get-only", "/api/nowhere", "/api/drf/open"]),
    headers=st.fixed_dictionaries({}, optional=HEADERS),
    secure=st.booleans(),
)


def rows(access: str, origins: list[str]) -> list[object]:
    policy = cors(*origins, allow_credentials="*" not in origins)
    rules = headers(("X-Frame-Options", "DENY", "force", "always"))
    limits = tier("anonymous", 10**9)
    row = route(
        access=access,
        methods=["GET", "POST", "PUT"],
        accepts=["application/json", "image/*"],
        produces=["application/json"],
        max_body_bytes=100,
        cors_policy=policy[0],
        header_policy=rules[0],
        anonymous_tier=limits[0],
        user_tier=limits[0],
    )
    return [row, *policy, *rules, *limits, *CALLER.rows, issuer(tier=limits[0])]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("access", ["public", "application", "credentials"])
@pytest.mark.parametrize("origins", [[ALLOWED, "https://*.example.com"], ["*"]])
def test_no_request_is_answered_by_an_exception(door, access, origins):
    members = {"TRUSTED_PROXIES": ["127.0.0.1"], "FAILED_CREDENTIALS_LIMIT": None}
    with guarded(*rows(access, origins), **members):

        @settings(max_examples=examples(40))
        @given(CALLS)
        def check(call):
            response = DOORS[door](call)
            assert response.status_code < 500
            assert response.headers["X-Request-ID"]
            assert response.headers["X-Frame-Options"] == "DENY"
            for name, value in response.headers.items():
                assert not set(f"{name}{value}") & {"\r", "\n", "\0"}
            if response.status_code >= 400 and response.content:
                assert json.loads(response.content)["requestId"] == response.headers["X-Request-ID"]

        check()


@pytest.mark.parametrize("access", ["public", "application", "credentials"])
def test_no_request_is_answered_by_an_exception_of_drf_alone(access):
    with guarded(*rows(access, [ALLOWED]), middleware=False, FAILED_CREDENTIALS_LIMIT=None):

        @settings(max_examples=examples(40))
        @given(CALLS.map(lambda call: call.but(path="/api/drf/open")))
        def check(call):
            assert call.wsgi().status_code < 500

        check()


def test_no_origin_but_a_listed_one_is_ever_let_in():
    with guarded(*rows("public", [ALLOWED])):

        @settings(max_examples=examples(60))
        @given(HEADERS["Origin"])
        def check(origin):
            response = Call(path="/api/get-only", headers={"Origin": origin}).wsgi()
            granted = response.headers.get("Access-Control-Allow-Origin")
            assert granted == (ALLOWED if origin == ALLOWED else None)

        check()


@pytest.mark.parametrize("access", ["public", "application", "credentials"])
def test_no_text_but_the_key_is_ever_the_key(access):
    with guarded(*rows(access, [ALLOWED]), FAILED_CREDENTIALS_LIMIT=None):

        @settings(max_examples=examples(60))
        @given(st.fixed_dictionaries({}, optional=CREDENTIALS))
        def check(sent):
            response = Call(path="/api/plain", headers=sent).wsgi()
            if response.status_code == 200 and response.json()["type"] == "ClientUser":
                texts = [value.strip(" \t").split(" ")[-1] for value in sent.values()]
                assert CALLER.text in texts

        check()
