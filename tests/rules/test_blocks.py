"""The table of blocked networks answers as a walk over all of them would."""

from __future__ import annotations

import os
from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.rules.blocks import Block, BlockTable

NOW = 1000.0
V4 = st.builds(
    lambda number, length: ip_network((number, length), strict=False),
    st.integers(0x0A000000, 0x0A00FFFF),
    st.integers(1, 32),
)
V6 = st.builds(
    lambda number, length: ip_network((number + (0x20010DB8 << 96), length), strict=False),
    st.integers(0, 2**16),
    st.integers(1, 128),
)
BLOCKS = st.lists(st.tuples(V4 | V6, st.sampled_from([None, NOW - 1, NOW, NOW + 1])), max_size=30)
ADDRESSES = st.builds(ip_address, st.integers(0x0A000000, 0x0A00FFFF)) | st.builds(
    lambda number: ip_address(number + (0x20010DB8 << 96)), st.integers(0, 2**16)
)


@settings(max_examples=int(os.environ.get("BLOCK_EXAMPLES", "50")))
@given(BLOCKS, ADDRESSES)
def test_the_narrowest_block_that_holds_is_found(given_blocks, address):
    blocks = [Block(pk, network, until) for pk, (network, until) in enumerate(given_blocks)]
    fitting = [
        block
        for block in blocks
        if address.version == block.network.version
        and address in block.network
        and (block.until is None or block.until > NOW)
    ]
    found = BlockTable(blocks).find(address, NOW)
    if not fitting:
        assert found is None
    else:
        assert found is not None
        assert found.holds(NOW)
        assert found.network.prefixlen == max(block.network.prefixlen for block in fitting)
        assert address in found.network


def test_a_mapped_address_is_its_ipv4_address():
    table = BlockTable([Block(1, ip_network("192.0.2.0/24"))])
    assert table.find(ip_address("::ffff:192.0.2.7"), NOW).pk == 1
    assert table.find(ip_address("2001:db8::1"), NOW) is None


def test_an_unknown_address_is_in_no_network():
    assert BlockTable([Block(1, ip_network("0.0.0.0/1"))]).find(None, NOW) is None


def test_of_two_blocks_of_one_network_the_longer_one_counts():
    network = ip_network("192.0.2.0/24")
    for order in (1, -1):
        blocks = [Block(1, network, NOW + 5), Block(2, network, None)][::order]
        assert BlockTable(blocks).find(ip_address("192.0.2.1"), NOW + 9).pk == 2


def test_a_table_without_blocks_is_false():
    assert not BlockTable()
    assert len(BlockTable([Block(1, ip_network("192.0.2.0/24"))])) == 1
