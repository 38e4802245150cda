from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.errors import IssuerError
from apiguard.rules.jwks_url import KeysUrl, is_global, may_be_fetched_from, parse_keys_url


@pytest.mark.parametrize(
    ("url", "parts", "authority"),
    [
        ("https://a.example", ("a.example", 443, "/"), "a.example"),
        ("https://A.Example/k", ("a.example", 443, "/k"), "a.example"),
        ("https://a.example:443/k", ("a.example", 443, "/k"), "a.example"),
        ("https://a.example:8443/k?v=1", ("a.example", 8443, "/k?v=1"), "a.example:8443"),
        ("https://a.example?v=1", ("a.example", 443, "/?v=1"), "a.example"),
        ("https://192.0.2.1/k", ("192.0.2.1", 443, "/k"), "192.0.2.1"),
        ("https://[2001:db8::1]:1/k", ("2001:db8::1", 1, "/k"), "[2001:db8::1]:1"),
        ("https://xn--bcher-kva.example/", ("xn--bcher-kva.example", 443, "/"), None),
        ("https://a.example/a@b", ("a.example", 443, "/a@b"), "a.example"),
    ],
)
def test_a_url_is_taken_apart(url, parts, authority):
    read = parse_keys_url(url)
    assert read == KeysUrl(*parts)
    assert read.authority == (authority or parts[0])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://a.example/k",
        "HTTPS://a.example/k",
        "ftp://a.example/k",
        "file:///etc/passwd",
        "//a.example/k",
        "https:///k",
        "https://",
        "https://user@a.example/k",
        "https://user:secret@a.example/k",
        "https://a.example#k",
        "https://a.example/k#x",
        "https://a.example:0/",
        "https://a.example:65536/",
        "https://a.example:/",
        "https://a.example:443:443/",
        "https://a.example\\@evil.example/",
        "https://a.example /",
        "https://a.example/ k",
        "https://a.example/k\r\nX: y",
        "https://a.example/k\n",
        "https://b\u00fccher.example/",
        "https://a.example/\u00e9",
        "https://a..example/",
        "https://a.example./",
        "https://-a.example/",
        "https://a_b.example/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://a.example/" + "a" * 1024,
    ],
)
def test_anything_else_is_refused(url):
    with pytest.raises(IssuerError) as raised:
        parse_keys_url(url)
    assert raised.value.code == "bad_keys_url"


@given(st.text(alphabet="https:/[]@.#?a1\\\r\n %\u00e9") | st.text())
def test_no_text_raises_anything_else(text):
    for url in (text, f"https://{text}", f"https://a.example{text}"):
        try:
            read = parse_keys_url(url)
        except IssuerError:
            continue
        assert not {"\r", "\n", " "} & set(read.target)


INNER = [
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1"),  # noqa: S104
    *("192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
    *("100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fec0::1", "ff02::1", "::127.0.0.1", "4000::1"),
]


@pytest.mark.parametrize("address", INNER)
def test_an_address_that_is_not_public_is_refused(address):
    assert not is_global(ip_address(address))
    assert not may_be_fetched_from(ip_address(address), ())


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111"])
def test_a_public_address_is_accepted(address):
    assert may_be_fetched_from(ip_address(address), ())


def test_an_exception_is_an_exception_for_its_network_alone():
    allowed = (ip_network("10.1.0.0/16"), ip_network("::1/128"))
    assert may_be_fetched_from(ip_address("10.1.2.3"), allowed)
    assert may_be_fetched_from(ip_address("::ffff:10.1.2.3"), allowed)
    assert may_be_fetched_from(ip_address("::1"), allowed)
    assert not may_be_fetched_from(ip_address("10.2.0.1"), allowed)
