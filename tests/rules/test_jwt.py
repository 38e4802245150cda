from __future__ import annotations

import base64
import json
import random
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.errors import IssuerError
from apiguard.rules.jwt import (
    FAMILIES,
    MAX_TIME,
    MAX_TOKEN_LENGTH,
    ParsedToken,
    PreparedKey,
    TokenProblem,
    TokenRefused,
    TokenRules,
    check_algorithms,
    check_claims,
    check_header,
    check_secret,
    claim_at,
    has_jwt_shape,
    issuer_of,
    parse,
    parse_required_claims,
    prepare_key,
    verify_signature,
)
from tests.examples import examples
from tests.signing import sign

NOW = 1_790_000_000
SECRET = b"0123456789abcdef" * 4
PREPARED = prepare_key(SECRET, "HS256")
CLAIMS: dict[str, Any] = {"iss": "issuer", "aud": "api", "sub": "alice", "exp": NOW + 60}
RULES = TokenRules("issuer", frozenset({"api", "other"}), frozenset({"HS256"}))


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def token(header: bytes | None = None, claims: bytes | None = None, tail: str = "c2ln") -> str:
    header = encode({"alg": "HS256"}) if header is None else header
    claims = encode(CLAIMS) if claims is None else claims
    return f"{b64(header)}.{b64(claims)}.{tail}"


def signed(claims: dict[str, Any] | None = None, **header: Any) -> str:
    return pyjwt.encode(claims or CLAIMS, SECRET, "HS256", headers=header)


def refusal(text: str) -> TokenProblem:
    with pytest.raises(TokenRefused) as raised:
        parse(text)
    return raised.value.problem


# Reading --------------------------------------------------------------------


def test_a_token_is_taken_apart():
    text = signed(kid="one")
    parsed = parse(text)
    assert parsed.header == {"alg": "HS256", "typ": "JWT", "kid": "one"}
    assert (parsed.algorithm, parsed.kid, parsed.claims) == ("HS256", "one", CLAIMS)
    assert parsed.signing_input == text.rpartition(".")[0].encode()
    assert len(parsed.signature) == 32


def test_claims_and_signature_stay_out_of_the_repr():
    assert "alice" not in repr(parse(signed()))


DEEP = b"[" * 17 + b"]" * 17


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(token() + "A" * MAX_TOKEN_LENGTH, "too_long", id="over 8 KiB"),
        pytest.param("", "not_three_segments", id="nothing"),
        pytest.param("a.b", "not_three_segments", id="two segments"),
        pytest.param(token() + ".x", "not_three_segments", id="four segments"),
        pytest.param("a.b.c.d.e", "not_three_segments", id="an encrypted token"),
        pytest.param(token(tail=""), "bad_base64", id="no signature"),
        pytest.param("." + token().partition(".")[2], "bad_base64", id="no header"),
        pytest.param(token(tail="c2lnYQ=="), "bad_base64", id="padding"),
        pytest.param(token(tail="c2ln\n"), "bad_base64", id="a newline"),
        pytest.param(" " + token(), "bad_base64", id="a space"),
        pytest.param(token(tail="c2+/"), "bad_base64", id="the other alphabet"),
        pytest.param(token(tail="c2lnc"), "bad_base64", id="an impossible length"),
        pytest.param(token(tail="c2lnYR"), "bad_base64", id="unused bits that are set"),
        pytest.param(token(tail="c2l\u00e9"), "bad_base64", id="no ASCII"),
        pytest.param(token(tail="c2l\udcff"), "bad_base64", id="a surrogate"),
        pytest.param(token(b'{"alg":"\xff"}'), "bad_utf8", id="no UTF-8"),
        pytest.param(token(b'{"alg":"\xc0\xaf"}'), "bad_utf8", id="overlong UTF-8"),
        pytest.param(token(b'\xef\xbb\xbf{"alg":"HS256"}'), "bad_utf8", id="a byte order mark"),
        pytest.param(token('{"alg":"HS256"}'.encode("utf-16")), "bad_utf8", id="UTF-16"),
        pytest.param(token(claims=rb'{"sub":"\ud800"}'), "bad_utf8", id="a lone surrogate"),
        pytest.param(token(claims=rb'{"\udfff":1}'), "bad_utf8", id="a lone surrogate's member"),
        pytest.param(token(b"{"), "bad_json", id="half an object"),
        pytest.param(token(b"{} {}"), "bad_json", id="two objects"),
        pytest.param(token(b"{'alg':'HS256'}"), "bad_json", id="single quotes"),
        pytest.param(token(claims=b'{"a":"\x01"}'), "bad_json", id="a control character"),
        pytest.param(token(claims=b'{"a":01}'), "bad_json", id="a leading zero"),
        pytest.param(token(b"[]"), "not_an_object", id="an array"),
        pytest.param(token(b'"alg"'), "not_an_object", id="a string"),
        pytest.param(token(claims=b"null"), "not_an_object", id="null"),
        pytest.param(token(claims=b'{"exp":NaN}'), "bad_number", id="NaN"),
        pytest.param(token(claims=b'{"exp":-Infinity}'), "bad_number", id="infinity"),
        pytest.param(token(claims=b'{"exp":1e999}'), "bad_number", id="an infinite power"),
        pytest.param(token(claims=b'{"a":[%s]}' % (b"9" * 5000)), "bad_number", id="5000 digits"),
        pytest.param(token(claims=b'{"a":1.%s}' % (b"0" * 99)), "bad_number", id="99 decimals"),
        pytest.param(token(b'{"alg":"HS256","alg":"none"}'), "duplicate_member", id="two alg"),
        pytest.param(token(claims=b'{"a":{"b":1,"\\u0062":2}}'), "duplicate_member", id="deep"),
        pytest.param(token(claims=b'{"a":%s}' % DEEP), "too_deep", id="17 arrays deep"),
        pytest.param(token(claims=b"[" * 6000), "too_deep", id="6000 arrays deep"),
        pytest.param(token(claims=b'{"a":' * 1000), "too_deep", id="1000 objects deep"),
        pytest.param(token(b'{"typ":"JWT"}'), "bad_alg", id="no alg"),
        pytest.param(token(b'{"alg":null}'), "bad_alg", id="alg null"),
        pytest.param(token(b'{"alg":["HS256"]}'), "bad_alg", id="a list of algs"),
    ],
)
def test_a_malformed_token_is_refused_for_one_reason(text, problem):
    assert refusal(text) == problem


@pytest.mark.parametrize("name", ["crit", "b64", "zip"])
@pytest.mark.parametrize("value", [None, True, "", ["exp"], {"kty": "oct"}], ids=str)
def test_a_parameter_that_changes_the_reading_is_refused(name, value):
    assert refusal(token(encode({"alg": "HS256", name: value}))) == name


@pytest.mark.parametrize(
    "name", ["cty", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "nonce", "cat"]
)
@pytest.mark.parametrize("value", [None, True, "x", ["exp"], {"kty": "oct"}], ids=str)
def test_other_parameters_are_ignored(name, value):
    assert parse(token(encode({"alg": "HS256", name: value}))).algorithm == "HS256"


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("kid", "typ") for value in (None, 1, "", "\u00e9", "a\n", ["a"])]
    + [("kid", "k" * 257), ("kid", "../../etc/passwd\0")],
    ids=ascii,
)
def test_kid_and_typ_are_printable_ascii(name, value):
    assert refusal(token(encode({"alg": "HS256", name: value}))) == f"bad_{name}"


@pytest.mark.parametrize("kid", ["k" * 256, "' OR 1=1 --", "../key"])
def test_a_strange_kid_is_still_only_a_name(kid):
    assert parse(token(encode({"alg": "HS256", "kid": kid}))).kid == kid


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"a": json.loads("[" * 15 + "]" * 15)}, id="16 deep"),
        pytest.param({"a": [[] for _ in range(100)]}, id="wide"),
        pytest.param({"a": "[{" * 50}, id="brackets in a string"),
        pytest.param({"a": '"[' * 50 + "\\"}, id="escaped quotes"),
        pytest.param({"a": 2**200, "b": -1.5e-300}, id="big and small numbers"),
        pytest.param({"a": "\U0001f600"}, id="a pair of surrogate escapes"),
    ],
)
def test_unusual_but_unambiguous_claims_are_read(claims):
    assert parse(token(claims=encode(claims))).claims == claims


def test_quotes_in_a_row_cost_linear_time():
    """Quadratic work on 6000 quotes would be seen as a suite that hangs."""
    for body in (b'\\"' * 3000, b'"' * 6000, b'"\\' * 3000):
        assert refusal(token(claims=b"[" * 17 + body)) in ("too_deep", "bad_json")


def test_the_outline_of_a_token_is_recognised_without_decoding():
    assert has_jwt_shape(token())
    assert has_jwt_shape("a.b.")
    for other in ("", "a.b", "a.b.c.d", "..", "a b.c.d", "\u00e9.b.c", "a.b." + "c" * 9000):
        assert not has_jwt_shape(other)


@pytest.mark.parametrize(
    ("text", "issuer"),
    [
        (token(), "issuer"),
        (token(b'{"alg":"none","crit":[]}'), "issuer"),
        (token(claims=b'{"iss":1}'), None),
        (token(claims=b"{}"), None),
        ("a.b.c", None),
        ("\udcff", None),
    ],
)
def test_the_issuer_is_read_even_from_a_token_that_will_be_refused(text, issuer):
    assert issuer_of(text) == issuer


# Judging --------------------------------------------------------------------


def judge(claims: dict[str, Any], rules: TokenRules = RULES) -> str | None:
    try:
        check_claims(claims, rules, NOW)
    except TokenRefused as refused:
        return refused.problem
    return None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({}, None, id="as it should be"),
        pytest.param({"iss": None}, "bad_issuer", id="iss null"),
        pytest.param({"iss": ["issuer"]}, "bad_issuer", id="a list of issuers"),
        pytest.param({"iss": "issuer/"}, "wrong_issuer", id="another iss"),
        pytest.param({"iss": "ISSUER"}, "wrong_issuer", id="iss in another case"),
        pytest.param({"aud": ["x", "other"]}, None, id="one of several audiences"),
        pytest.param({"aud": "ap"}, "wrong_audience", id="another aud"),
        pytest.param({"aud": []}, "wrong_audience", id="no audience"),
        pytest.param({"aud": ["api", 1]}, "wrong_audience", id="an audience that is a number"),
        pytest.param({"aud": {"api": 1}}, "wrong_audience", id="aud as an object"),
        pytest.param({"aud": None}, "wrong_audience", id="aud null"),
        pytest.param({"sub": ""}, "bad_subject", id="sub empty"),
        pytest.param({"sub": None}, "bad_subject", id="sub null"),
        pytest.param({"sub": 7}, "bad_subject", id="sub a number"),
        pytest.param({"sub": "x" * 255}, None, id="sub of 255"),
        pytest.param({"sub": "x" * 256}, "bad_subject", id="sub of 256"),
        pytest.param({"sub": "a\nb"}, "bad_subject", id="sub with a newline"),
        pytest.param({"sub": "a\0"}, "bad_subject", id="sub with NUL"),
        pytest.param({"sub": "J\u00fcrgen"}, None, id="sub in Unicode"),
        pytest.param({"exp": None}, "bad_time", id="exp null"),
        pytest.param({"exp": str(NOW + 60)}, "bad_time", id="exp as a string"),
        pytest.param({"exp": True}, "bad_time", id="exp true"),
        pytest.param({"exp": -1}, "bad_time", id="exp negative"),
        pytest.param({"exp": MAX_TIME}, None, id="exp at the end of time"),
        pytest.param({"exp": MAX_TIME + 1}, "bad_time", id="exp after it"),
        pytest.param({"exp": 10**60}, "bad_time", id="exp far after it"),
        pytest.param({"exp": float("nan")}, "bad_time", id="exp NaN"),
        pytest.param({"exp": NOW + 0.5}, None, id="exp with a fraction"),
        pytest.param({"exp": NOW - 29}, None, id="expired within the leeway"),
        pytest.param({"exp": NOW - 30}, "expired", id="expired"),
        pytest.param({"nbf": NOW + 30}, None, id="nbf within the leeway"),
        pytest.param({"nbf": NOW + 31}, "not_yet_valid", id="nbf later"),
        pytest.param({"nbf": "0"}, "bad_time", id="nbf as a string"),
        pytest.param({"iat": NOW + 30}, None, id="iat within the leeway"),
        pytest.param({"iat": NOW + 31}, "issued_in_future", id="iat later"),
        pytest.param({"iat": False}, "bad_time", id="iat false"),
        pytest.param({"exp": 0, "aud": "x"}, "wrong_audience", id="expired is said last"),
        pytest.param({"exp": 0, "nbf": NOW + 99}, "not_yet_valid", id="nbf before expired"),
    ],
)
def test_claims_are_judged_by_exact_types(change, problem):
    assert judge(CLAIMS | change) == problem


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("iss", "bad_issuer"),
        ("aud", "missing_audience"),
        ("sub", "bad_subject"),
        ("exp", "missing_exp"),
    ],
)
def test_these_claims_are_mandatory(name, problem):
    assert judge({key: value for key, value in CLAIMS.items() if key != name}) == problem


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("scope", "a"),
        ("realm_access.roles", ["r"]),
        ("resource_access.api.roles", ["x"]),
        ("resource_access.com.example.api.roles", ["y"]),
        ("https://example.com/roles", ["z"]),
        ("a.b", "the name itself"),
        ("realm_access", {"roles": ["r"]}),
        ("realm_access.", None),
        (".roles", None),
        ("realm_access.roles.0", None),
        ("scope.a", None),
        ("nobody.roles", None),
        ("", None),
    ],
)
def test_a_claim_is_found_by_name_or_by_path(path, value):
    claims = {
        "scope": "a",
        "realm_access": {"roles": ["r"]},
        "resource_access": {"api": {"roles": ["x"]}, "com.example.api": {"roles": ["y"]}},
        "https://example.com/roles": ["z"],
        "a.b": "the name itself",
        "a": {"b": "below"},
    }
    assert claim_at(claims, path) == value


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({}, ()),
        ({"a": "x"}, (("a", ("x",)),)),
        ({"a": ["x", 1, True, 1.5]}, (("a", ("x", 1, True, 1.5)),)),
    ],
)
def test_required_claims_are_read(value, read):
    assert parse_required_claims(value) == read


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "token_use",
        {"": "x"},
        {1: "x"},
        {"a\n": "x"},
        {"a" * 256: "x"},
        {"a": None},
        {"a": []},
        {"a": [None]},
        {"a": {"b": 1}},
        {"a": [["x"]]},
        {"a": "x" * 1025},
        {str(number): 1 for number in range(21)},
    ],
    ids=lambda value: repr(value)[:30],
)
def test_other_required_claims_are_refused(value):
    with pytest.raises(IssuerError) as raised:
        parse_required_claims(value)
    assert (raised.value.code, raised.value.field) == ("bad_required_claims", "required_claims")


def test_a_row_that_requires_a_kind_decides_about_it():
    rules = replace(RULES, required_claims=(("token_use", ("id",)),))
    assert judge(CLAIMS | {"token_use": "id"}, rules) is None
    assert judge(CLAIMS | {"token_use": "access"}, rules) == "wrong_claim"
    assert judge(CLAIMS | {"token_use": "id", "typ": "Refresh"}, rules) == "not_an_access_token"


@pytest.mark.parametrize("kind", ["access", "Bearer", "sliding", "", 1, None, ["access"], {}])
def test_other_kinds_of_tokens_are_accepted(kind):
    for name in ("token_type", "token_use", "typ"):
        assert judge(CLAIMS | {name: kind}) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"iat": NOW, "exp": NOW + 600}, None),
        ({"iat": NOW, "exp": NOW + 601}, "lifetime_too_long"),
        ({"iat": NOW - 601}, "lifetime_too_long"),
        ({}, "missing_iat"),
    ],
)
def test_a_longest_lifetime_counts_from_iat(change, problem):
    rules = TokenRules("issuer", frozenset({"api"}), frozenset({"HS256"}), max_lifetime=600)
    assert judge(CLAIMS | change, rules) == problem


@pytest.mark.parametrize(
    ("types", "typ", "accepted"),
    [
        (("JWT", "at+jwt", ""), None, True),
        (("JWT", "at+jwt", ""), "jwt", True),
        (("JWT",), None, False),
        (("at+jwt",), "at+jwt", True),
        (("at+jwt",), "AT+JWT", True),
        (("at+jwt",), "application/at+jwt", True),
        (("application/at+jwt",), "at+jwt", True),
        (("at+jwt",), "JWT", False),
        (("at+jwt",), None, False),
        (("at+jwt",), "application/application/at+jwt", False),
        (("JWT", ""), "application/", False),
        (("JWT", "at+jwt", ""), "dpop+jwt", False),
    ],
)
def test_only_the_types_of_the_issuer_are_accepted(types, typ, accepted):
    rules = TokenRules("issuer", frozenset(), frozenset({"HS256"}), token_types=types)
    header = {"alg": "HS256"} if typ is None else {"alg": "HS256", "typ": typ}
    parsed = parse(token(encode(header)))
    if accepted:
        check_header(parsed, rules)
    else:
        with pytest.raises(TokenRefused, match="bad_typ"):
            check_header(parsed, rules)


@pytest.mark.parametrize("alg", ["none", "None", "HS384", "hs256", "RS256", "", "HS256 "])
def test_only_the_algorithms_of_the_issuer_are_accepted(alg):
    with pytest.raises(TokenRefused, match="alg_not_allowed"):
        check_header(parse(token(encode({"alg": alg}))), RULES)


# Keys -----------------------------------------------------------------------


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def private_key(family: str, algorithm: str) -> Any:
    if family in ("RS", "PS"):
        return rsa_key()
    if family == "EdDSA":
        kind = ed448.Ed448PrivateKey if algorithm == "Ed448" else ed25519.Ed25519PrivateKey
        return kind.generate()
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    return ec.generate_private_key(curves[algorithm])


def other_key(family: str, algorithm: str) -> Any:
    return rsa_key(3072) if family in ("RS", "PS") else private_key(family, algorithm)


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize("algorithm", FAMILIES["HS"])
def test_an_hmac_signature_is_verified(algorithm):
    parsed = parse(pyjwt.encode(CLAIMS, SECRET, algorithm))
    assert verify_signature(parsed, SECRET, algorithm)
    assert verify_signature(parsed, prepare_key(SECRET.decode(), algorithm), algorithm)
    assert not verify_signature(parsed, SECRET[::-1], algorithm)
    forged = ParsedToken(parsed.header, parsed.claims, parsed.signing_input + b"x", b"")
    assert not verify_signature(forged, SECRET, algorithm)


@pytest.mark.parametrize(
    ("family", "algorithm"),
    [(f, name) for f in ("RS", "PS", "ES", "EdDSA") for name in FAMILIES[f]],
)
def test_a_public_key_signature_is_verified(family, algorithm):
    key = private_key(family, algorithm)
    parsed = parse(sign({"alg": algorithm}, CLAIMS, algorithm, key))
    assert verify_signature(parsed, prepare_key(pem(key), algorithm), algorithm)
    assert verify_signature(parsed, prepare_key(key.public_key(), algorithm), algorithm)
    other = prepare_key(pem(other_key(family, algorithm)), algorithm)
    assert not verify_signature(parsed, other, algorithm)


def test_a_public_key_is_never_an_hmac_secret():
    public = pem(rsa_key())
    signing_input = f"{b64(encode({'alg': 'HS256'}))}.{b64(encode(CLAIMS))}"
    forged = pyjwt.algorithms.get_default_algorithms()["HS256"].sign(signing_input.encode(), public)
    assert not verify_signature(parse(f"{signing_input}.{b64(forged)}"), public, "HS256")


@pytest.mark.parametrize(
    "key",
    [b"", b"short", "", None, 7, [], pem(rsa_key()), b'{"kty":"oct","k":"%s"}' % (b"x" * 64)],
    ids=lambda key: repr(key)[:20],
)
def test_a_bad_key_verifies_nothing(key):
    assert not verify_signature(parse(signed()), key, "HS256")


@pytest.mark.parametrize("algorithm", ["none", "HS384", "RS256", "ES256K", "", "x"])
def test_an_algorithm_that_is_not_the_tokens_own_verifies_nothing(algorithm):
    assert not verify_signature(parse(signed()), SECRET, algorithm)


@pytest.mark.parametrize("algorithm", ["none", "HS1", "ES256K"])
def test_an_algorithm_outside_the_families_verifies_nothing(algorithm):
    unsigned = parse(token(encode({"alg": algorithm})))
    assert not verify_signature(unsigned, SECRET, algorithm)
    assert not verify_signature(unsigned, PreparedKey(algorithm, None), algorithm)


def test_a_key_is_bound_to_its_algorithm():
    assert not verify_signature(parse(signed()), PreparedKey("HS384", SECRET), "HS256")


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_at_least_as_long_as_the_hash(algorithm, least):
    check_secret(b"x" * least, algorithm)
    check_secret("\u00e9" * (least // 2), algorithm)
    with pytest.raises(IssuerError) as raised:
        check_secret(b"x" * (least - 1), algorithm)
    assert raised.value.code == "short_secret"
    assert "xxx" not in repr(raised.value) + str(raised.value)


def test_only_hmac_has_secrets():
    with pytest.raises(IssuerError):
        check_secret(SECRET, "RS256")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        pytest.param(b"short", "HS256", id="a short secret"),
        pytest.param(pem(rsa_key()), "HS256", id="a public key as a secret"),
        pytest.param(SECRET, "RS256", id="a secret as a public key"),
        pytest.param(pem(ec.generate_private_key(ec.SECP384R1())), "ES256", id="another curve"),
        pytest.param(pem(rsa_key(1024)), "RS256", id="a short RSA key"),
        pytest.param(pem(rsa_key()), "ES256", id="another kind"),
        pytest.param(pem(ed448.Ed448PrivateKey.generate()), "Ed25519", id="Ed448 as Ed25519"),
        pytest.param(pem(ed25519.Ed25519PrivateKey.generate()), "Ed448", id="Ed25519 as Ed448"),
        pytest.param(None, "HS256", id="nothing"),
        pytest.param(SECRET, "none", id="no algorithm"),
    ],
)
def test_a_key_that_does_not_fit_is_refused_when_it_is_prepared(key, algorithm):
    with pytest.raises(IssuerError):
        prepare_key(key, algorithm)


@pytest.mark.parametrize(
    ("given_names", "names"),
    [(["HS256"], ("HS256",)), (["RS512", "RS256", "RS512"], ("RS512", "RS256"))],
)
def test_algorithms_of_one_family_are_accepted(given_names, names):
    assert check_algorithms(given_names) == names


@pytest.mark.parametrize(
    ("names", "code", "suggestion"),
    [
        ([], "no_algorithm", None),
        ("HS256", "algorithms_not_a_list", None),
        (None, "algorithms_not_a_list", None),
        (["none"], "unknown_algorithm", None),
        (["hs256"], "unknown_algorithm", "HS256"),
        ([None], "unknown_algorithm", None),
        (["ES256K"], "unknown_algorithm", "ES256"),
        (["HS256", "RS256"], "mixed_algorithms", None),
        (["RS256", "PS256"], "mixed_algorithms", None),
    ],
)
def test_other_algorithms_are_refused(names, code, suggestion):
    with pytest.raises(IssuerError) as raised:
        check_algorithms(names)
    assert (raised.value.code, raised.value.suggestion) == (code, suggestion)


# Whatever comes -------------------------------------------------------------


def walk_through(text: str) -> None:
    """All that is done with a token; anything but a refusal is a failure."""
    has_jwt_shape(text)
    issuer_of(text)
    with suppress(TokenRefused):
        parsed = parse(text)
        verify_signature(parsed, PREPARED, "HS256")
        judge_all(parsed)


def judge_all(parsed: ParsedToken) -> None:
    check_header(parsed, RULES)
    check_claims(parsed.claims, RULES, NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
members = st.sampled_from(["alg", "kid", "typ", "iss", "aud", "sub", "exp", "nbf", "iat", "crit"])
objects = st.dictionaries(members, json_values | st.sampled_from(list(CLAIMS.values())))


@settings(max_examples=examples(100), deadline=None)
@given(st.text())
def test_no_text_raises_anything_else(text):
    walk_through(text)


@settings(max_examples=examples(100), deadline=None)
@given(st.binary(), st.binary(), st.binary())
def test_no_bytes_in_the_segments_raise_anything_else(header, claims, signature):
    walk_through(f"{b64(header)}.{b64(claims)}.{b64(signature)}")


@settings(max_examples=examples(100), deadline=None)
@given(objects, objects)
def test_no_claims_raise_anything_else(header, claims):
    walk_through(token(encode({"alg": "HS256"} | header), encode(CLAIMS | claims)))


def test_no_mutation_of_a_good_token_is_verified_or_raises_anything_else():
    good, dice = signed(), random.Random(7)
    for _ in range(4000):
        letters = list(good)
        for _ in range(dice.randint(1, 3)):
            position = dice.randrange(len(letters))
            letters[position] = dice.choice("ABZaz09-_=.+/ \u00e9\udcff")
            if dice.random() < 0.2:
                del letters[dice.randrange(len(letters))]
        mutant = "".join(letters)
        walk_through(mutant)
        if mutant != good:
            assert not accepted(mutant)
    assert accepted(good)


def accepted(text: str) -> bool:
    try:
        parsed = parse(text)
    except TokenRefused:
        return False
    return verify_signature(parsed, PREPARED, "HS256")


# Beyond PyJWT ---------------------------------------------------------------


def raw_signed(header: bytes, claims: bytes) -> str:
    signing_input = f"{b64(header)}.{b64(claims)}"
    hmac = pyjwt.algorithms.get_default_algorithms()["HS256"]
    return f"{signing_input}.{b64(hmac.sign(signing_input.encode(), SECRET))}"


GOOD_HEADER = encode({"alg": "HS256"})
GOOD_CLAIMS = encode(CLAIMS | {"exp": MAX_TIME})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(raw_signed(b'{"alg":"none","alg":"HS256"}', GOOD_CLAIMS), id="duplicates"),
        pytest.param(raw_signed(encode({"alg": "HS256", "zip": "DEF"}), GOOD_CLAIMS), id="zip"),
        pytest.param(
            raw_signed(GOOD_HEADER, GOOD_CLAIMS[:-1] + b',"token_use":"id"}'), id="an ID token"
        ),
        pytest.param(raw_signed(GOOD_HEADER, GOOD_CLAIMS[:-1] + b',"a":NaN}'), id="NaN"),
        pytest.param(raw_signed(GOOD_HEADER, GOOD_CLAIMS[:-1] + b',"a":1e999}'), id="infinity"),
        pytest.param(raw_signed(GOOD_HEADER, GOOD_CLAIMS[:-1] + b',"a":%s}' % DEEP), id="depth"),
        pytest.param(
            raw_signed(GOOD_HEADER, GOOD_CLAIMS[:-1] + b',"a":"%s"}' % (b"a" * 9000)), id="length"
        ),
        pytest.param(
            raw_signed(GOOD_HEADER, encode(CLAIMS | {"exp": str(MAX_TIME)})), id="exp as a string"
        ),
        pytest.param(raw_signed(GOOD_HEADER, encode(CLAIMS | {"exp": MAX_TIME * 9})), id="exp"),
        pytest.param(
            raw_signed(GOOD_HEADER, encode(CLAIMS | {"exp": MAX_TIME, "sub": "a\n"})), id="sub"
        ),
        pytest.param(raw_signed(GOOD_HEADER, GOOD_CLAIMS) + "=", id="padding"),
    ],
)
def test_what_pyjwt_accepts_is_refused_here(text):
    assert pyjwt.decode(text, SECRET, ["HS256"], audience="api", issuer="issuer")["sub"]
    with pytest.raises(TokenRefused):
        judge_all(parse(text))
