"""Issuers: exactly one source of keys, of a kind that the algorithms can use."""

from __future__ import annotations

import pytest

from apiguard.models import JwtIssuer
from tests.signing import jwk_of, private_key, public_jwk

KEY = public_jwk("ES256")
PRIVATE = jwk_of("ES256", private_key("ES256"), kid="private")
URL = "https://issuer.example/keys"


def problems(**fields):
    values = {"name": "i", "issuer": "https://i.example", "audiences": ["api"]}
    row = JwtIssuer(**{**values, "algorithms": ["ES256"], **fields})
    return [(problem.code, problem.field) for problem in row.problems()]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"algorithms": ["HS256"], "secret_name": "demo"}, id="a named secret"),
        pytest.param({"jwks": {"keys": [KEY]}}, id="pasted keys"),
        pytest.param({"jwks_url": URL}, id="a URL"),
        pytest.param({"jwks_url": "https://127.0.0.1:8443/k"}, id="an address: settings decide"),
        pytest.param({"jwks": {"keys": [KEY, {"kty": "AKP"}]}}, id="a key of a later kind besides"),
        pytest.param(
            {"algorithms": ["EdDSA"], "jwks": {"keys": [public_jwk("EdDSA", None)]}}, id="no name"
        ),
    ],
)
def test_a_row_with_one_source_is_in_order(fields):
    assert problems(**fields) == []


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        pytest.param({}, "no_key_source", "algorithms", id="no source"),
        pytest.param(
            {"jwks": {"keys": [KEY]}, "jwks_url": URL}, "two_key_sources", "jwks_url", id="two"
        ),
        pytest.param(
            {"jwks": {}, "jwks_url": URL}, "two_key_sources", "jwks_url", id="an empty one is one"
        ),
        pytest.param(
            {"algorithms": ["HS256"], "secret_name": "demo", "jwks_url": URL},
            "two_key_sources",
            "jwks_url",
            id="a secret and a URL",
        ),
        pytest.param({"secret_name": "demo"}, "wrong_key_source", "secret_name", id="ES, secret"),
        pytest.param(
            {"algorithms": ["HS256"], "jwks_url": URL}, "wrong_key_source", "jwks_url", id="HS, URL"
        ),
        pytest.param(
            {"algorithms": ["HS256"], "jwks": {"keys": [{"kty": "oct", "k": "AA"}]}},
            "wrong_key_source",
            "jwks",
            id="HS, pasted",
        ),
        pytest.param({"jwks": {"keys": []}}, "no_usable_key", "jwks", id="no key in it"),
        pytest.param({"jwks": [KEY]}, "not_a_key_set", "jwks", id="a list"),
        pytest.param({"jwks": {"keys": [KEY, KEY]}}, "duplicate_kid", "jwks", id="twice"),
        pytest.param({"jwks": {"keys": [PRIVATE, KEY]}}, "private_key", "jwks", id="private"),
        pytest.param(
            {"jwks": {"keys": [{"kty": "oct", "k": "AA"}, KEY]}}, "private_key", "jwks", id="secret"
        ),
        pytest.param(
            {"jwks_url": "http://issuer.example/keys"}, "bad_keys_url", "jwks_url", id="http"
        ),
        pytest.param(
            {"jwks_url": "https://a:b@issuer.example/"}, "bad_keys_url", "jwks_url", id="a user"
        ),
        pytest.param(
            {"algorithms": ["HS256"], "secret_name": "nobody"},
            "unknown_secret",
            "secret_name",
            id="an unknown secret",
        ),
    ],
)
def test_a_row_without_clear_keys_says_so_at_the_field(fields, code, field):
    assert problems(**fields) == [(code, field)]
