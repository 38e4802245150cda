"""Provider documents and example tokens: what is filled in from them, and what is refused."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.errors import IssuerError
from apiguard.rules.openid import (
    choose_algorithms,
    configuration_url,
    read_configuration,
    suggest_fields,
    suggest_required,
)
from tests.examples import examples
from tests.neighbours.identity_providers import providers, published_keys
from tests.signing import public_jwk

DOCUMENT = {
    "issuer": "https://id.example/realms/acme",
    "jwks_uri": "https://id.example/realms/acme/certs",
    "id_token_signing_alg_values_supported": ["HS256", "PS256", "RS256", "ES256"],
}
WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example/realms/acme",
        "https://id.example/realms/acme/",
        " https://id.example/realms/acme ",
        "https://id.example/realms/acme" + WELL_KNOWN,
    ],
)
def test_the_document_is_below_the_issuers_url(url):
    assert configuration_url(url) == "https://id.example/realms/acme" + WELL_KNOWN


@pytest.mark.parametrize("url", ["", "id.example", "http://id.example", "https://a:b@id.example"])
def test_nothing_is_read_from_other_urls(url):
    with pytest.raises(IssuerError) as raised:
        configuration_url(url)
    assert raised.value.code == "bad_issuer_url"


def test_a_document_is_read():
    read = read_configuration(json.dumps(DOCUMENT).encode())
    assert (read.issuer, read.jwks_url) == (DOCUMENT["issuer"], DOCUMENT["jwks_uri"])
    assert read.algorithms == ("HS256", "PS256", "RS256", "ES256")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"issuer": None}, "not_a_configuration"),
        ({"issuer": 7}, "not_a_configuration"),
        ({"issuer": "a\nb"}, "not_a_configuration"),
        ({"issuer": "https://login.example/{tenantid}/v2.0"}, "issuer_of_many"),
        ({"jwks_uri": None}, "not_a_configuration"),
        ({"jwks_uri": "http://id.example/certs"}, "bad_keys_url"),
        ({"jwks_uri": "https://id.example:99999/"}, "bad_keys_url"),
    ],
)
def test_a_document_that_cannot_be_used_says_why(change, code):
    with pytest.raises(IssuerError) as raised:
        read_configuration(json.dumps({**DOCUMENT, **change}).encode())
    assert raised.value.code == code


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'{"issuer":"a","issuer":"b"}', b"\xff"])
def test_what_is_no_object_is_refused(raw):
    with pytest.raises(IssuerError):
        read_configuration(raw)


@settings(max_examples=examples(80), deadline=None)
@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(list(DOCUMENT)), st.text() | st.lists(st.text()) | st.none()
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_document_raises_anything_but_an_issuer_error(raw):
    with suppress(IssuerError):
        read_configuration(raw)


@pytest.mark.parametrize(
    ("listed", "keys", "chosen"),
    [
        pytest.param(["HS256", "RS256", "ES256"], published_keys(), ("RS256",), id="a noisy set"),
        pytest.param([], {"keys": [public_jwk("ES256")]}, ("ES256",), id="nothing listed"),
        pytest.param(
            ["RS256", "RS512"], {"keys": [public_jwk("RS256")]}, ("RS256", "RS512"), id="no alg"
        ),
        pytest.param(
            ["RS256", "PS256"], {"keys": [public_jwk("RS256", alg="PS256")]}, ("PS256",), id="PS"
        ),
        pytest.param(["Ed25519"], {"keys": [public_jwk("Ed25519")]}, ("Ed25519",), id="RFC 9864"),
        pytest.param(
            ["RS256", "ES256"], {"keys": [public_jwk("ES256")]}, ("ES256",), id="only EC keys"
        ),
    ],
)
def test_the_algorithms_are_those_that_there_are_keys_for(listed, keys, chosen):
    algorithms, held = choose_algorithms(listed, json.dumps(keys).encode())
    assert algorithms == chosen
    assert len(held) == 1


@pytest.mark.parametrize("listed", [["HS256"], ["none"], ["ES384"]])
def test_without_a_usable_key_nothing_is_chosen(listed):
    with pytest.raises(IssuerError):
        choose_algorithms(listed, json.dumps({"keys": [public_jwk("ES256")]}).encode())


SUGGESTED = {
    "Auth0": {"org_id": "org_acme"},
    "Okta": {},
    "Cognito": {"token_use": "access"},
    "Google": {"hd": "acme.example"},
    "Firebase": {"firebase.tenant": "acme-shop"},
    "Keycloak": {"typ": "Bearer"},
    "Supabase": {},
    "Clerk": {"o.id": "org_1"},
}


@pytest.mark.parametrize("provider", providers(), ids=lambda one: one.name)
def test_an_example_token_suggests_kind_tenant_and_audience(provider):
    fields = suggest_fields(provider.claims)
    row = provider.row
    assert fields.get("audience_claim", "aud") == row.get("audience_claim", "aud")
    assert set(row["audiences"]) <= set(fields["audiences"])
    if provider.name in SUGGESTED:
        assert fields["required_claims"] == SUGGESTED[provider.name]
    if "tid" in provider.claims or "zid" in provider.claims:
        assert set(fields["required_claims"]) & {"tid", "zid"}


@pytest.mark.parametrize("kind", ["refresh", "Refresh", "ID", "id_token", "Offline"])
def test_what_grants_no_access_is_not_suggested(kind):
    assert suggest_required({"typ": kind, "token_use": kind}) == {}
