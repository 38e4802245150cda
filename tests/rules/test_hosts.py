"""Hosts as browsers write them."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules.hosts import bracketed, is_canonical_host, is_loopback, is_public_suffix


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("example.com", True),
        ("localhost", True),
        ("a-b.example", True),
        ("192.0.2.1", True),
        ("[2001:db8::1]", True),
        ("", False),
        ("example.com.", False),
        ("Example.com", False),
        ("192.0.2.01", False),
        ("192.0.2", False),
        ("example.0x1f", False),
        ("[2001:DB8::1]", False),
        ("[2001:db8:0:0:0:0:0:1]", False),
        ("[]", False),
        ("2001:db8::1", False),
        ("a\n", False),
        pytest.param("a." * 127 + "a", False, id="too long"),
    ],
)
def test_a_host_is_canonical_in_one_spelling_only(host, expected):
    assert is_canonical_host(host) is expected


@given(st.text(max_size=40) | st.text(alphabet="[]:.0123456789abcdefx-", max_size=40))
def test_judging_a_host_never_raises(host):
    assert is_canonical_host(host) in (True, False)
    assert is_loopback(host) in (True, False)


@given(
    st.ip_addresses(v=6) | st.integers(0, 2**32 - 1).map(lambda n: IPv6Address(0xFFFF << 32 | n))
)
def test_every_ipv6_address_has_a_canonical_host(address):
    assert is_canonical_host(bracketed(address))


@pytest.mark.parametrize(
    ("host", "expected"),
    [("com", True), ("github.io", True), ("example.com", False), ("localhost", False)],
)
def test_public_suffixes_include_private_ones_but_not_localhost(host, expected):
    assert is_public_suffix(host) is expected
