"""Key sets: what of them is used, what is left out and why, and what refuses the whole set."""

from __future__ import annotations

import json
import random
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.errors import IssuerError
from apiguard.rules.jwks import MAX_KEYS, MAX_SET_LENGTH, parse_key_set, read_key_set
from apiguard.rules.jwt import FAMILIES, TokenRefused, parse, verify_signature
from apiguard.rules.key_set import NO_KEYS, secret_key_set
from tests.examples import examples
from tests.signing import SECRET, b64, ed448_key, jwk_of, private_key, public_jwk, rsa_key, sign

PUBLIC = [(family, name) for family in ("RS", "PS", "ES", "EdDSA") for name in FAMILIES[family]]
GOOD = public_jwk("ES256", "good")
RSA = public_jwk("RS256", "r")
ES256 = ("ES256",)


def dropped(*jwks, algorithms=ES256):
    """Why each of these keys is left out of a set that has a good one besides."""
    return [problem for _kid, problem in parse_key_set({"keys": [GOOD, *jwks]}, algorithms).dropped]


def code(value, algorithms=ES256):
    read = read_key_set if isinstance(value, bytes) else parse_key_set
    with pytest.raises(IssuerError) as raised:
        read(value, algorithms)
    return raised.value.code


@pytest.mark.parametrize(("family", "algorithm"), PUBLIC)
def test_a_key_of_every_family_verifies_what_its_owner_signed(family, algorithm):
    jwk = public_jwk(algorithm, "one")
    held = parse_key_set({"keys": [jwk]}, FAMILIES[family])
    parsed = parse(sign({"alg": algorithm, "kid": "one"}, {}, algorithm))
    key = held.find("one", algorithm)
    assert verify_signature(parsed, key, algorithm)
    other = parse(sign({"alg": algorithm}, {}, algorithm, private_key(algorithm, 2)))
    assert not verify_signature(other, key, algorithm)


def test_what_a_key_is_can_be_told():
    rsa, ec_key = public_jwk("RS256", "r", use="sig"), public_jwk("ES384", "e")
    told = [
        (key.kid, key.kind, key.bits, key.use)
        for held in (
            parse_key_set({"keys": [rsa]}, ["RS256"]),
            parse_key_set({"keys": [ec_key]}, ["ES384"]),
            parse_key_set({"keys": [public_jwk("EdDSA", None)]}, ["EdDSA"]),
            secret_key_set("demo", [SECRET.encode()], ["HS256"]),
        )
        for key in held.keys
    ]
    assert told == [
        ("r", "RSA", 2048, "sig"),
        ("e", "P-384", 384, ""),
        (None, "Ed25519", 256, ""),
        ("demo", "HMAC", 512, "sig"),
    ]


def test_ed448_is_of_the_family_too():
    jwk = jwk_of("EdDSA", ed448_key().public_key(), kid="e")
    (key,) = parse_key_set({"keys": [jwk]}, ["EdDSA"]).keys
    assert (key.kind, key.bits) == ("Ed448", 456)


def test_a_key_is_named_by_kid_alone():
    two = parse_key_set({"keys": [GOOD, public_jwk("ES256", "other", 2)]}, ES256)
    assert two.find("good", "ES256") is not two.find("other", "ES256") is not None
    assert two.find("Good", "ES256") is None
    assert two.find("", "ES256") is None
    assert NO_KEYS.find("good", "ES256") is None
    assert NO_KEYS.find(None, "ES256") is None


def test_a_token_without_kid_means_the_only_key_that_fits():
    one = parse_key_set({"keys": [GOOD, public_jwk("ES384", "b")]}, ["ES256", "ES384"])
    assert one.find(None, "ES256") is one.find("good", "ES256")
    two = parse_key_set({"keys": [GOOD, public_jwk("ES256", "b", 2)]}, ES256)
    with pytest.raises(TokenRefused, match="missing_kid"):
        two.find(None, "ES256")


def test_a_key_of_another_algorithm_is_not_the_key_that_is_named():
    held = parse_key_set({"keys": [GOOD, public_jwk("ES384", "b")]}, ["ES256", "ES384"])
    with pytest.raises(TokenRefused, match="kid_of_another_alg"):
        held.find("good", "ES384")


def test_a_key_without_kid_is_found_by_tokens_without_one():
    held = parse_key_set({"keys": [public_jwk("ES256", None)]}, ES256)
    assert held.find(None, "ES256") is not None
    assert held.find("any", "ES256") is None


def test_the_secrets_of_an_hmac_issuer_are_found_by_any_kid():
    held = secret_key_set("demo", [SECRET.encode()], ["HS256", "HS384"])
    for kid in (None, "demo", "other"):
        assert held.find(kid, "HS384") == held.find("demo", "HS384") is not None
    assert held.find("demo", "HS512") is None
    assert held.as_jwks() == {"keys": []}
    assert SECRET not in repr(held)
    for secrets in ([b"short"], [SECRET.encode(), b"short"]):
        with pytest.raises(IssuerError):
            secret_key_set("demo", secrets, ["HS256"])


def test_every_secret_verifies_while_the_first_signs():
    new, old, other = (private_key("HS256", number) for number in (1, 2, 3))
    key = secret_key_set("demo", [new, old], ["HS256"]).find(None, "HS256")
    for secret, good in [(new, True), (old, True), (other, False)]:
        parsed = parse(sign({"alg": "HS256"}, {}, "HS256", secret))
        assert verify_signature(parsed, key, "HS256") is good
    assert old.decode() not in repr(key)


@pytest.mark.parametrize("name", ["EdDSA", "Ed25519", "Ed448"])
@pytest.mark.parametrize("row", [["EdDSA"], ["Ed25519"], ["Ed448"], ["Ed25519", "Ed448"]], ids=str)
def test_the_names_of_rfc_9864_are_names_of_what_eddsa_was(name, row):
    """A row with EdDSA takes every name; a row with one of the new names takes that one."""
    keys = {"Ed25519": private_key("Ed25519"), "Ed448": private_key("Ed448")}
    for curve, key in keys.items():
        for alg in ({}, {"alg": "EdDSA"}, {"alg": curve}):
            jwks = {"keys": [jwk_of("EdDSA", key.public_key(), **alg)]}
            fits = (row == ["EdDSA"] or name in row) and name in ("EdDSA", curve)
            try:
                found = parse_key_set(jwks, row).find(None, name)
            except IssuerError:
                found = None
            assert (found is not None) is fits
            if found is not None:
                assert verify_signature(parse(sign({"alg": name}, {}, name, key)), found, name)


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([{**GOOD, "use": "enc"}], id="for encryption"),
        pytest.param([{**public_jwk("RS256", "good")}], id="RSA"),
        pytest.param([{"kty": "oct", "kid": "good"}, {"kid": "good"}], id="no key"),
        pytest.param([{**public_jwk("ES384", "good")}], id="another curve"),
    ],
)
def test_keys_that_are_not_used_may_have_the_kid_of_one_that_is(others):
    for listed in ([GOOD, *others], [*others, GOOD]):
        held = parse_key_set({"keys": listed}, ES256)
        assert [key.jwk for key in held.keys] == [GOOD]
        assert len(held.dropped) == len(others)


@pytest.mark.parametrize("name", ["use", "alg", "key_ops", "kid", "d", "k", "x5c"])
def test_a_null_member_is_an_absent_one(name):
    expected = {key: value for key, value in GOOD.items() if key != name}
    (key,) = parse_key_set({"keys": [{**GOOD, name: None}]}, ES256).keys
    assert key.jwk == expected


def test_padded_numbers_are_read_and_stored_without_padding():
    padded = {**RSA, "n": RSA["n"] + "==", "e": RSA["e"] + "="}
    (key,) = parse_key_set({"keys": [padded]}, ["RS256"]).keys
    assert key.jwk == RSA
    parsed = parse(sign({"alg": "RS256", "kid": "r"}, {}, "RS256"))
    assert verify_signature(parsed, key.prepared["RS256"], "RS256")


def test_what_is_stored_is_public_and_reads_back_the_same():
    noisy = {**GOOD, "x5c": ["MII"], "x5u": "https://evil.example", "n": "AQAB", "note": "hi"}
    held = parse_key_set({"keys": [noisy, {"kty": "oct", "k": "c2VjcmV0"}]}, ES256)
    assert held.as_jwks() == {"keys": [GOOD]}
    assert parse_key_set(held.as_jwks(), ES256) == held
    assert held != NO_KEYS


EC_WITHOUT_X = {name: value for name, value in GOOD.items() if name not in ("x", "kid")}
OFF_CURVE = {**GOOD, "kid": "off", "y": GOOD["x"]}


@pytest.mark.parametrize(
    ("jwk", "problem"),
    [
        pytest.param("a key", "not_a_key", id="a string"),
        pytest.param(None, "not_a_key", id="null"),
        pytest.param({}, "not_a_key", id="nothing in it"),
        pytest.param({"kty": ["EC"]}, "not_a_key", id="a list of types"),
        pytest.param({"kty": "oct", "k": "c2VjcmV0"}, "secret", id="a secret"),
        pytest.param({"kty": "oct"}, "secret", id="an oct key without its secret"),
        pytest.param(jwk_of("ES256", private_key("ES256", 3)), "private", id="private EC"),
        pytest.param(jwk_of("RS256", private_key("RS256")), "private", id="private RSA"),
        pytest.param(jwk_of("EdDSA", private_key("EdDSA")), "private", id="private EdDSA"),
        pytest.param({**EC_WITHOUT_X, "k": "c2Vj"}, "private", id="a secret in a public key"),
        pytest.param({**GOOD, "kid": ""}, "bad_kid", id="an empty kid"),
        pytest.param({**GOOD, "kid": 7}, "bad_kid", id="a number as kid"),
        pytest.param({**GOOD, "kid": "\u00e9"}, "bad_kid", id="kid not in ASCII"),
        pytest.param({**GOOD, "kid": "a\n"}, "bad_kid", id="kid with a newline"),
        pytest.param({**GOOD, "kid": "k" * 257}, "bad_kid", id="a long kid"),
        pytest.param({**GOOD, "kid": "x", "use": "enc"}, "not_for_signing", id="use enc"),
        pytest.param({**GOOD, "kid": "x", "use": ["sig"]}, "not_for_signing", id="use a list"),
        pytest.param({**GOOD, "kid": "x", "key_ops": []}, "not_for_signing", id="no operation"),
        pytest.param(
            {**GOOD, "kid": "x", "key_ops": ["sign", "wrapKey"]}, "not_for_signing", id="wraps"
        ),
        pytest.param({**GOOD, "kid": "x", "key_ops": "verify"}, "not_for_signing", id="a string"),
        pytest.param(
            {**GOOD, "kid": "x", "use": "sig", "key_ops": ["encrypt"]}, "not_for_signing", id="both"
        ),
        pytest.param(RSA, "other_kind", id="another family"),
        pytest.param({"kty": "AKP", "pub": "AA"}, "other_kind", id="an unknown type"),
        pytest.param(public_jwk("EdDSA", "e"), "other_kind", id="EdDSA"),
        pytest.param(public_jwk("ES384", "x"), "other_algorithm", id="another curve"),
        pytest.param({**GOOD, "kid": "x", "alg": "ES384"}, "other_algorithm", id="another alg"),
        pytest.param({**GOOD, "kid": "x", "alg": "ECDH-ES"}, "other_algorithm", id="agreement"),
        pytest.param({**GOOD, "kid": "x", "crv": "secp256k1"}, "other_algorithm", id="k1"),
        pytest.param({**GOOD, "kid": "x", "crv": {}}, "other_algorithm", id="no curve"),
        pytest.param(EC_WITHOUT_X, "unreadable", id="half a point"),
        pytest.param(OFF_CURVE, "unreadable", id="a point off its curve"),
        pytest.param({**GOOD, "kid": "x", "x": "AA=="}, "unreadable", id="short and padded"),
        pytest.param({**GOOD, "kid": "x", "x": GOOD["x"] + "==="}, "unreadable", id="padding"),
        pytest.param({**GOOD, "kid": "x", "x": "=" + GOOD["x"]}, "unreadable", id="padded before"),
        pytest.param({**GOOD, "kid": "x", "x": 5}, "unreadable", id="a number as x"),
        pytest.param({**GOOD, "kid": "x", "x": "A" * 5000}, "unreadable", id="a long x"),
        pytest.param({**GOOD, "kid": "x", "x": "AA"}, "unreadable", id="a short x"),
    ],
)
def test_a_key_that_must_not_verify_is_left_out(jwk, problem):
    assert dropped(jwk) == [problem]


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8 or 1))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"n": number(rsa_key(1024).public_key().public_numbers().n)}, "weak", id="1k"),
        pytest.param({"n": number((1 << 2046) + 1)}, "weak", id="2047 bits"),
        pytest.param({"n": number((1 << 8192) + 1)}, "weak", id="8193 bits"),
        pytest.param({"e": number(1)}, "weak", id="exponent 1"),
        pytest.param({"e": number(0)}, "weak", id="exponent 0"),
        pytest.param({"e": number(2)}, "weak", id="an even exponent"),
        pytest.param({"e": number(2**32 + 1)}, "weak", id="a large exponent"),
        pytest.param({"e": "A"}, "weak", id="no number"),
        pytest.param({"e": None}, "unreadable", id="exponent null"),
        pytest.param({"e": "AQ+B"}, "unreadable", id="the other alphabet"),
        pytest.param({"alg": "RSA-OAEP"}, "other_algorithm", id="an encryption key"),
        pytest.param({"alg": "PS256"}, "other_algorithm", id="the other padding"),
        pytest.param({"use": "enc"}, "not_for_signing", id="use enc"),
        pytest.param({"kty": "EC"}, "other_kind", id="said to be EC"),
    ],
)
def test_an_rsa_key_that_must_not_verify_is_left_out(change, problem):
    values = {"keys": [RSA, {**RSA, "kid": "x", **change}]}
    assert [one.problem for one in parse_key_set(values, ["RS256"]).dropped] == [problem]


@pytest.mark.parametrize("missing", ["n", "e"])
def test_an_rsa_key_without_its_numbers_is_left_out(missing):
    jwk = {name: value for name, value in RSA.items() if name not in (missing, "kid")}
    (one,) = parse_key_set({"keys": [RSA, jwk]}, ["RS256"]).dropped
    assert one.problem == "unreadable"


def test_a_mixed_set_serves_each_issuer_its_own_keys():
    mixed = {"keys": [GOOD, RSA, public_jwk("EdDSA", "e"), {"kty": "oct", "k": "AA", "kid": "o"}]}
    for algorithm, kid in [("ES256", "good"), ("RS256", "r"), ("PS256", "r"), ("EdDSA", "e")]:
        held = parse_key_set(mixed, [algorithm])
        assert [key.kid for key in held.keys] == [kid]
        assert len(held.dropped) == 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, "not_a_key_set", id="null"),
        pytest.param([GOOD], "not_a_key_set", id="a list"),
        pytest.param(GOOD, "not_a_key_set", id="a single key"),
        pytest.param({"keys": {"good": GOOD}}, "not_a_key_set", id="keys by name"),
        pytest.param({"keys": []}, "no_usable_key", id="an empty set"),
        pytest.param({"keys": [RSA]}, "no_usable_key", id="another family's"),
        pytest.param({"keys": [GOOD, GOOD]}, "duplicate_kid", id="one key twice"),
        pytest.param(
            {"keys": [GOOD, public_jwk("ES256", "good", 2)]}, "duplicate_kid", id="two of one kid"
        ),
        pytest.param({"keys": [None] * (MAX_KEYS + 1)}, "too_many_keys", id="101 keys"),
        pytest.param(b"", "bad_json", id="nothing"),
        pytest.param(b"<html>", "bad_json", id="HTML"),
        pytest.param(b'{"keys":[],"keys":[]}', "bad_json", id="duplicate members"),
        pytest.param(b'{"keys":[{"kid":"a","kid":"b"}]}', "bad_json", id="duplicates inside"),
        pytest.param(b'\xef\xbb\xbf{"keys":[]}', "bad_json", id="a byte order mark"),
        pytest.param('{"keys":[]}'.encode("utf-16"), "bad_json", id="UTF-16"),
        pytest.param(b'{"keys":[NaN]}', "bad_json", id="NaN"),
        pytest.param(b"[" * 9000, "bad_json", id="deep"),
        pytest.param(b"[]", "bad_json", id="an array"),
        pytest.param(b" " * (MAX_SET_LENGTH + 1), "set_too_large", id="more than 64 KiB"),
    ],
)
def test_a_set_that_is_none_or_is_ambiguous_is_refused_whole(value, expected):
    assert code(value) == expected


def test_no_message_repeats_a_key():
    private = jwk_of("ES256", ec.generate_private_key(ec.SECP256R1()), kid="one")
    with pytest.raises(IssuerError) as raised:
        parse_key_set({"keys": [private]}, ES256)
    assert private["d"] not in repr(raised.value) + str(raised.value) + str(raised.value.as_dict())


def test_a_set_says_what_is_in_it_and_no_key():
    held = parse_key_set({"keys": [GOOD]}, ES256)
    assert "good" in repr(held)
    assert GOOD["x"] not in repr(held)
    assert len(held) == 1


# -- whatever comes ---------------------------------------------------------------

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(
        ["EC", "RSA", "OKP", "oct", "P-256", "sig", "verify", "ES256", GOOD["x"], RSA["n"], "AQAB"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
members = st.sampled_from(
    ["kty", "kid", "use", "key_ops", "alg", "crv", "n", "e", "x", "y", "d", "k"]
)
jwks = st.dictionaries(members, values).flatmap(
    lambda changed: st.sampled_from([{}, GOOD, RSA, public_jwk("EdDSA", "e")]).map(
        lambda base: base | changed
    )
)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(jwks | values, max_size=4), st.sampled_from(["ES256", "RS256", "PS512", "EdDSA"]))
def test_no_set_raises_anything_but_an_issuer_error(listed, algorithm):
    try:
        held = parse_key_set({"keys": listed}, [algorithm])
    except IssuerError:
        return
    assert len(held) + len(held.dropped) == len(listed)
    json.dumps(held.as_jwks())


@settings(max_examples=examples(100), deadline=None)
@given(st.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_but_an_issuer_error(raw):
    with suppress(IssuerError):
        read_key_set(raw, ES256)


def test_no_mutation_of_a_set_raises_anything_else():
    good, dice = json.dumps({"keys": [GOOD, RSA]}).encode(), random.Random(11)
    for _ in range(3000):
        mutant = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            mutant[dice.randrange(len(mutant))] = dice.randrange(256)
        with suppress(IssuerError):
            read_key_set(bytes(mutant), ES256)
