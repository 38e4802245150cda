"""Keys of djangorestframework-api-key: recognised by their form alone, digested by their hash."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules import keys
from apiguard.rules.imported_keys import LENGTH, parse, parse_any, read_stored

GOOD = "abcdEF12." + "s" * 32


def test_the_parts_of_a_key_hide_its_text():
    parts = parse(GOOD)
    assert (parts.key_id, parts.environment) == ("abcdEF12", "live")
    assert parts.text == hashlib.sha512(GOOD.encode()).hexdigest()
    assert "s" * 32 not in repr(parts)


@given(st.text(max_size=60) | st.text("aB1._", min_size=LENGTH, max_size=LENGTH))
def test_no_text_raises_and_only_the_form_is_read(text):
    parts = parse(text)
    prefix, dot, secret = text.partition(".")
    is_good = len(prefix) == 8 and dot == "." and len(secret) == 32
    is_good = is_good and (prefix + secret).isascii() and (prefix + secret).isalnum()
    assert (parts is not None) is is_good


def test_a_key_of_this_site_is_read_as_such():
    own = keys.generate("ag", "live")
    assert parse_any(own.text, "ag") == own
    assert parse_any(GOOD, "ag") == parse(GOOD)
    assert parse_any("ag_live_x", "ag") is None


@pytest.mark.parametrize(
    ("encoded", "hashed"),
    [
        ("sha512$$" + "0a" * 64, "0a" * 64),
        ("sha512$$" + "0A" * 64, None),
        ("sha512$salt$" + "0a" * 64, None),
        ("pbkdf2_sha256$1$s$h", None),
        ("", None),
    ],
)
def test_only_hashes_of_the_package_s_current_hasher_are_read(encoded, hashed):
    assert read_stored(encoded) == hashed
