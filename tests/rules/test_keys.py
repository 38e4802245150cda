from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.errors import SettingError
from apiguard.rules import keys

BODY = "ag_live_0123456789AB_" + "abcdefghijklmnopqrstuvwxyz012345"
KNOWN = BODY + "0Or8JW"


def checksum(text: str) -> str:
    digits, number = "", zlib.crc32(text.encode())
    while number:
        number, rest = divmod(number, 62)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits.rjust(6, "0")


@pytest.mark.parametrize("environment", keys.ENVIRONMENTS)
def test_a_generated_key_is_read_back(environment):
    made = keys.generate("ag", environment)
    assert keys.parse(made.text, "ag") == made
    assert made.environment == environment
    assert made.text == f"ag_{environment}_{made.key_id}_{made.secret}{checksum(made.text[:-6])}"
    assert (len(made.key_id), len(made.secret)) == (12, 32)


def test_no_two_keys_are_alike():
    assert len({keys.generate("ag", "live").text for _ in range(200)}) == 200


def test_a_known_key_has_the_checksum_that_the_format_says():
    assert BODY + checksum(BODY) == KNOWN
    assert keys.parse(KNOWN, "ag") == keys.KeyParts(
        "ag", "live", "0123456789AB", "abcdefghijklmnopqrstuvwxyz012345", KNOWN
    )


def test_secrets_stay_out_of_the_repr():
    made = keys.generate("ag", "live")
    assert made.secret not in repr(made)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(KNOWN[:-1], id="too short"),
        pytest.param(KNOWN + "0", id="too long"),
        pytest.param(KNOWN + "\n", id="a newline after it"),
        pytest.param(KNOWN[:-1] + "\n", id="a newline in it"),
        pytest.param(KNOWN.replace("live", "prod"), id="another environment"),
        pytest.param("xy" + KNOWN[2:], id="another namespace"),
        pytest.param(KNOWN.upper(), id="upper case"),
        pytest.param(KNOWN.replace("a", "\u0430"), id="Cyrillic a"),
        pytest.param(KNOWN.replace("0", "\u0660"), id="Arabic zero"),
        pytest.param(KNOWN.replace("b", "\udcff"), id="a surrogate"),
        pytest.param(KNOWN.replace("b", "\xff"), id="bytes as Latin-1"),
        pytest.param("ag_live_" + "_" * (len(KNOWN) - 8), id="underscores"),
    ],
)
def test_what_is_no_key_is_none(text):
    assert keys.parse(text, "ag") is None


@given(st.integers(0, len(KNOWN) - 1), st.sampled_from(keys.BASE62))
def test_one_wrong_character_is_noticed(position, character):
    mutated = KNOWN[:position] + character + KNOWN[position + 1 :]
    assert (keys.parse(mutated, "ag") is None) == (mutated != KNOWN)


@given(st.one_of(st.text(), st.text(min_size=len(KNOWN), max_size=len(KNOWN))))
def test_no_text_raises(text):
    assert keys.parse(text, "ag") is None
    assert keys.has_key_shape("ag_" + text, "ag")
    assert len(keys.digest(text, None)) == 64
    assert not keys.matches(text, b"pepper", text)


@pytest.mark.parametrize(
    ("text", "shaped"), [("ag_", True), ("ag_x", True), ("ag", False), ("AG_x", False), ("", False)]
)
def test_shape_is_the_namespace_and_an_underscore(text, shaped):
    assert keys.has_key_shape(text, "ag") is shaped


def test_a_scanner_finds_a_key_in_a_text_and_nothing_that_only_contains_it():
    pattern = re.compile(keys.pattern("ag"))
    assert pattern.findall(f'key = "{KNOWN}", x') == [KNOWN]
    assert pattern.findall(f"x{KNOWN}") == []
    assert pattern.findall(f"{KNOWN}x") == []


@pytest.mark.parametrize("namespace", ["ag", "a1", "abcdefgh"])
def test_a_namespace_is_returned_as_it_is(namespace):
    assert keys.check_namespace(namespace) == namespace
    assert keys.parse(keys.generate(namespace, "test").text, namespace)


@pytest.mark.parametrize(
    "namespace", ["", "a", "1a", "Ag", "a_b", "abcdefghi", "ag\n", "\u00e4g", None, 7]
)
def test_a_malformed_namespace_is_refused(namespace):
    with pytest.raises(SettingError) as raised:
        keys.check_namespace(namespace)
    assert raised.value.field == "KEY_NAMESPACE"


def test_generate_refuses_what_parse_could_not_read():
    with pytest.raises(SettingError):
        keys.generate("A", "live")
    with pytest.raises(ValueError, match="live, test"):
        keys.generate("ag", "prod")


def test_digests_are_those_of_the_standards():
    # RFC 4231 test case 2, and SHA-256 of the empty string.
    assert keys.digest("what do ya want for nothing?", b"Jefe") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    assert keys.digest("", None) == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


@pytest.mark.parametrize("pepper", [None, b"pepper"])
def test_only_the_same_text_and_pepper_match(pepper):
    stored = keys.digest(KNOWN, pepper)
    assert keys.matches(KNOWN, pepper, stored)
    assert not keys.matches(KNOWN + "x", pepper, stored)
    assert not keys.matches(KNOWN, b"other", stored)


@pytest.mark.parametrize("stored", ["", "\u00e9", "\udcff", "0" * 64])
def test_a_damaged_digest_matches_nothing(stored):
    assert not keys.matches(KNOWN, None, stored)
