"""Networks, addresses, forwarding headers, and whose address counts."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.errors import NetworkError
from apiguard.rules.networks import (
    client_address,
    contains,
    counted_as,
    is_trusted,
    parse_address,
    parse_forwarded,
    parse_forwarded_for,
    parse_network,
    parse_networks,
)

TRUSTED = parse_networks(["10.0.0.0/8", "2001:db8:ffff::/48"])
XFF, RFC = "X-Forwarded-For", "Forwarded"
HOSTILE = st.text(max_size=60) | st.text(alphabet='for=by;, "\\[]:.0123456789_%', max_size=80)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:DB8:0::1", "2001:db8::1/128"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_is_read(text, network):
    assert str(parse_network(text)) == network


@pytest.mark.parametrize(
    ("text", "code", "suggestion"),
    [
        ("", "empty", None),
        (" 10.0.0.0/8", "white_space", "10.0.0.0/8"),
        ("10.0.0.1/8", "host_bits", "10.0.0.0/8"),
        ("2001:db8::1/64", "host_bits", "2001:db8::/64"),
        ("::ffff:10.0.0.1", "mapped", "10.0.0.1/32"),
        ("::ffff:0:0/96", "mapped", "0.0.0.0/0"),
        ("::ffff:10.0.0.1/104", "host_bits", "10.0.0.0/8"),
        ("fe80::1%eth0", "zone", None),
        ("10.0.0.0/255.0.0.0", "mask", "10.0.0.0/8"),
        ("10.0.0.0/33", "bad_network", None),
        ("10.0.0.0/", "bad_network", None),
        ("10.0.0.0/-1", "bad_network", None),
        ("10.0.0/8", "bad_network", None),
        ("010.0.0.0/8", "bad_network", None),
        ("10.0.0.0/8/8", "bad_network", None),
        ("example.com", "bad_network", None),
        ("unix", "bad_network", None),
        ("10.0.0.0/" + "0" * 100, "bad_network", None),
    ],
)
def test_every_mistake_has_its_code_and_its_suggestion(text, code, suggestion):
    with pytest.raises(NetworkError) as caught:
        parse_network(text)
    assert (caught.value.code, caught.value.suggestion) == (code, suggestion)
    assert caught.value.value == text


@given(st.text(max_size=40) | st.text(alphabet="0123456789abcf.:/% ", max_size=40))
def test_a_network_is_read_or_refused_with_an_accepted_suggestion(text):
    try:
        network = parse_network(text)
    except NetworkError as error:
        suggestion = error.suggestion
        assert suggestion is None or str(parse_network(suggestion)) == suggestion
    else:
        assert parse_network(str(network)) == network


def test_the_first_bad_network_of_a_list_is_named():
    with pytest.raises(NetworkError) as caught:
        parse_networks(["10.0.0.0/8", "nonsense", "10.0.0.1/8"])
    assert caught.value.value == "nonsense"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", IPv4Address("192.0.2.1")),
        ("2001:db8::1", IPv6Address("2001:db8::1")),
        ("2001:DB8:0:0::1", IPv6Address("2001:db8::1")),
        ("::ffff:192.0.2.1", IPv4Address("192.0.2.1")),
        ("::ffff:c000:201", IPv4Address("192.0.2.1")),
        ("::192.0.2.1", IPv6Address("::c000:201")),
        ("", None),
        ("192.0.2.01", None),
        ("192.0.2", None),
        ("192.0.2.1:80", None),
        ("192.0.2.1/32", None),
        (" 192.0.2.1", None),
        ("192.0.2.1\n", None),
        ("192.0.2.\uff11", None),
        ("[2001:db8::1]", None),
        ("fe80::1%eth0", None),
        ("3221225985", None),
        ("0x7f.1", None),
        ("unknown", None),
        pytest.param("1" * 1_000_000, None, id="a million digits"),
    ],
)
def test_an_address_is_read_strictly(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("2001:db8:ffff::1", True),
        ("2001:db8::1", False),
        ("nonsense", False),
    ],
)
def test_networks_of_both_versions_hold_addresses_of_both(address, expected):
    assert contains(TRUSTED, parse_address(address)) is expected


@pytest.mark.parametrize(
    ("remote_addr", "trust_unix", "expected"),
    [
        ("10.0.0.1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("192.0.2.1", True, False),
        ("", True, True),
        ("", False, False),
        ("unix:", True, True),
        ("/run/app.sock", True, True),
        ("/run/app.sock", False, False),
        ("nonsense", True, False),
    ],
)
def test_a_peer_is_trusted_by_network_or_as_a_unix_socket(remote_addr, trust_unix, expected):
    assert is_trusted(remote_addr, TRUSTED, trust_unix) is expected


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ("", []),
        ("192.0.2.1", ["192.0.2.1"]),
        ("192.0.2.1, 2001:db8::1", ["192.0.2.1", "2001:db8::1"]),
        ("192.0.2.1:4711,\t[2001:db8::1]:80 , [::1]", ["192.0.2.1", "2001:db8::1", "::1"]),
        (",192.0.2.1,, ", ["192.0.2.1"]),
        ("unknown, _hidden, a b", ["unknown", "_hidden", "a b"]),
        ("192.0.2.1:", ["192.0.2.1:"]),
        ("192.0.2.1:123456", ["192.0.2.1:123456"]),
        ("[192.0.2.1]", ["[192.0.2.1]"]),
        ("[fe80::1%eth0]", ["[fe80::1%eth0]"]),
        ("[]", ["[]"]),
        ('"192.0.2.1"', ['"192.0.2.1"']),
    ],
)
def test_x_forwarded_for_is_split(value, elements):
    assert parse_forwarded_for(value) == elements


@pytest.mark.parametrize(
    ("value", "nodes"),
    [
        ("", []),
        ("for=192.0.2.1", ["192.0.2.1"]),
        ("For=192.0.2.1;proto=https;by=203.0.113.43", ["192.0.2.1"]),
        ("proto=https ; for=192.0.2.1", ["192.0.2.1"]),
        ("for=192.0.2.1, for=198.51.100.17", ["192.0.2.1", "198.51.100.17"]),
        ('for="[2001:db8::1]:4711"', ["2001:db8::1"]),
        ('for="[2001:db8::1]"', ["2001:db8::1"]),
        ('for="192.0.2.1:_port"', ["192.0.2.1"]),
        ('for="192\\.0.2.1"', ["192.0.2.1"]),
        ('for="192.0.2.1:80"', ["192.0.2.1"]),
        # Section 4: a colon or a bracket is no token character, so these need quotes.
        ("for=192.0.2.1:80", ["unknown"]),
        ("for=[2001:db8::1]", ["unknown"]),
        ("for=2001:db8::1", ["unknown"]),
        ("for=[2001:db8::1]:4711", ["unknown"]),
        ("for=192.0.2.1;x=a/b", ["unknown"]),
        ("for=unknown", ["unknown"]),
        ("for=_hidden", ["_hidden"]),
        ("proto=https", ["unknown"]),
        ("for=", ["unknown"]),
        ("for=192.0.2.1;for=192.0.2.2", ["unknown"]),
        ("192.0.2.1", ["unknown"]),
        ("for = 192.0.2.1", ["unknown"]),
        ("for=192.0.2.1;", ["192.0.2.1"]),
        (", for=192.0.2.1,,", ["192.0.2.1"]),
        ('for=192.0.2.1;host="a, for=6.6.6.6"', ["192.0.2.1"]),
        ('for=192.0.2.1;host="a\\", for=6.6.6.6"', ["192.0.2.1"]),
        ('for=192.0.2.1;host="a\\\\"', ["192.0.2.1"]),
        ('for="6.6.6.6, for=192.0.2.1', ["unknown", "192.0.2.1"]),
        ('for=6.6.6.6;x=", for="[2001:db8::1]"', ["unknown", "2001:db8::1"]),
        ('for=6.6.6.6;x="\\, for="[2001:db8::1]"', ["unknown", "2001:db8::1"]),
        ('for="192.0.2.1"x', ["unknown"]),
    ],
)
def test_forwarded_is_read_from_the_right(value, nodes):
    assert parse_forwarded(value) == nodes


@pytest.mark.parametrize(
    ("header", "remote_addr", "forwarded", "expected"),
    [
        pytest.param(XFF, "192.0.2.1", "", "192.0.2.1", id="no proxy"),
        pytest.param(XFF, "192.0.2.1", "6.6.6.6", "192.0.2.1", id="peer not trusted"),
        pytest.param(XFF, "2001:db8::1", "6.6.6.6", "2001:db8::1", id="IPv6 peer not trusted"),
        pytest.param(XFF, "10.0.0.1", "", "10.0.0.1", id="trusted, header absent"),
        pytest.param(XFF, "10.0.0.1", " , ", "10.0.0.1", id="trusted, header empty"),
        pytest.param(XFF, "10.0.0.1", "192.0.2.1", "192.0.2.1", id="one proxy"),
        pytest.param(XFF, "::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1", id="mapped proxy"),
        pytest.param(XFF, "10.0.0.1", "::ffff:192.0.2.1", "192.0.2.1", id="mapped client"),
        pytest.param(XFF, "2001:db8:ffff::1", "192.0.2.1", "192.0.2.1", id="IPv6 proxy"),
        pytest.param(XFF, "10.0.0.1", "2001:db8::1", "2001:db8::1", id="IPv6 client"),
        pytest.param(XFF, "10.0.0.1", "[2001:db8::1]:443", "2001:db8::1", id="IPv6 and port"),
        pytest.param(XFF, "10.0.0.1", "192.0.2.1:443", "192.0.2.1", id="IPv4 and port"),
        pytest.param(XFF, "10.0.0.1", "192.0.2.1, 10.0.0.2", "192.0.2.1", id="two proxies"),
        pytest.param(XFF, "10.0.0.1", "6.6.6.6, 192.0.2.1", "192.0.2.1", id="spoofed"),
        pytest.param(XFF, "10.0.0.1", "10.9.9.9, 192.0.2.1", "192.0.2.1", id="spoofed trusted"),
        pytest.param(
            XFF, "10.0.0.1", "6.6.6.6, 192.0.2.1, 10.0.0.2", "192.0.2.1", id="spoofed, two proxies"
        ),
        pytest.param(XFF, "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3", id="all trusted"),
        pytest.param(XFF, "10.0.0.1", "unknown", "10.0.0.1", id="unknown"),
        pytest.param(XFF, "10.0.0.1", "6.6.6.6, unknown", "10.0.0.1", id="unknown ends the walk"),
        pytest.param(
            XFF, "10.0.0.1", "6.6.6.6, garbage, 10.0.0.2", "10.0.0.2", id="garbage ends the walk"
        ),
        pytest.param(XFF, "10.0.0.1", "garbage, 192.0.2.1", "192.0.2.1", id="garbage not reached"),
        pytest.param(XFF, "10.0.0.1", "192.0.2.01", "10.0.0.1", id="leading zero"),
        pytest.param(XFF, "10.0.0.1", "fe80::1%eth0", "10.0.0.1", id="zone"),
        pytest.param(XFF, "10.0.0.1", "for=192.0.2.1", "10.0.0.1", id="the other syntax"),
        pytest.param(XFF, "", "192.0.2.1", None, id="unix not trusted"),
        pytest.param(XFF, "nonsense", "192.0.2.1", None, id="peer unreadable"),
        pytest.param(RFC, "192.0.2.1", "for=6.6.6.6", "192.0.2.1", id="RFC: peer not trusted"),
        pytest.param(RFC, "10.0.0.1", "for=192.0.2.1", "192.0.2.1", id="RFC: one proxy"),
        pytest.param(
            RFC, "10.0.0.1", 'for="[2001:db8::1]:9";proto=https', "2001:db8::1", id="RFC: IPv6"
        ),
        pytest.param(
            RFC, "10.0.0.1", "for=192.0.2.1, for=10.0.0.2", "192.0.2.1", id="RFC: two proxies"
        ),
        pytest.param(RFC, "10.0.0.1", "for=6.6.6.6, for=192.0.2.1", "192.0.2.1", id="RFC: spoofed"),
        pytest.param(
            RFC, "10.0.0.1", "for=6.6.6.6, for=_x, for=10.0.0.2", "10.0.0.2", id="RFC: obfuscated"
        ),
        pytest.param(
            RFC, "10.0.0.1", "for=6.6.6.6, proto=https", "10.0.0.1", id="RFC: element without node"
        ),
        pytest.param(
            RFC, "10.0.0.1", 'for="6.6.6.6, for=192.0.2.1', "192.0.2.1", id="RFC: open quote"
        ),
        pytest.param(
            RFC,
            "10.0.0.1",
            'for=6.6.6.6;x=", for="[2001:db8::1]"',
            "2001:db8::1",
            id="RFC: open quote before a quoted node",
        ),
        pytest.param(RFC, "10.0.0.1", "192.0.2.1", "10.0.0.1", id="RFC: the other syntax"),
        pytest.param(RFC, "10.0.0.1", "", "10.0.0.1", id="RFC: header absent"),
    ],
)
def test_the_first_untrusted_address_from_the_right_counts(
    header, remote_addr, forwarded, expected
):
    found = client_address(remote_addr, forwarded, header=header, trusted=TRUSTED, trust_unix=False)
    assert found == (expected and ip_address(expected))


@pytest.mark.parametrize("remote_addr", ["", "unix:", "/run/app.sock"])
@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.2", "10.0.0.2"),
        ("unknown", None),
        ("", None),
    ],
)
def test_a_trusted_unix_socket_is_a_proxy_without_address(remote_addr, forwarded, expected):
    found = client_address(remote_addr, forwarded, header=XFF, trusted=TRUSTED, trust_unix=True)
    assert found == (expected and ip_address(expected))


@given(st.sampled_from([XFF, RFC]), HOSTILE)
def test_what_a_client_sends_never_decides_where_a_proxy_appends(header, sent):
    appended = 'for="[2001:db8::1]"' if header == RFC else "2001:db8::1"
    found = client_address(
        "10.0.0.1", f"{sent}, {appended}", header=header, trusted=TRUSTED, trust_unix=False
    )
    assert found == IPv6Address("2001:db8::1")


@given(HOSTILE)
def test_reading_forwarding_headers_never_raises(value):
    assert len(parse_forwarded(value)) <= 32
    assert len(parse_forwarded_for(value)) <= 32
    assert all(parse_forwarded(value))


@pytest.mark.parametrize(
    ("parse", "element"),
    [
        pytest.param(parse_forwarded_for, "10.0.0.9", id="X-Forwarded-For"),
        pytest.param(parse_forwarded, "for=10.0.0.9", id="Forwarded"),
    ],
)
def test_only_the_last_elements_are_looked_at(parse, element):
    assert parse(", ".join([element] * 1_000_000)) == ["10.0.0.9"] * 32
    assert parse("x" * 5000 + element) == []
    assert parse("x" * 5000 + f",{element}") == ["10.0.0.9"]


@pytest.mark.parametrize("parse", [parse_forwarded_for, parse_forwarded])
@pytest.mark.parametrize(
    "unit", ['"', '\\"', '"\\', 'for="', ";", "[:", "1.", "=", "for=a;", " \t"]
)
def test_hostile_forwarding_headers_come_to_an_end(parse, unit):
    values = parse((unit * 4096)[:4096])
    assert all(parse_address(value) is None for value in values)


@pytest.mark.parametrize(
    ("address", "principal"),
    [
        (IPv4Address("192.0.2.1"), "ip:192.0.2.1"),
        (IPv6Address("2001:db8:1:2:3:4:5:6"), "ip:2001:db8:1:2::/64"),
        (IPv6Address("2001:db8:1:2:ffff::"), "ip:2001:db8:1:2::/64"),
        (IPv6Address("2001:db8:1:3::"), "ip:2001:db8:1:3::/64"),
        (IPv6Address("::1"), "ip:::/64"),
        (IPv6Address("::ffff:192.0.2.1"), "ip:192.0.2.1"),
        (None, "ip:unknown"),
    ],
)
def test_ipv6_addresses_are_counted_by_their_network(address, principal):
    assert counted_as(address) == principal
