"""Principals as people know them."""

from __future__ import annotations

import pytest

from apiguard.admin.display import format_principal


@pytest.mark.parametrize(
    ("principal", "words"),
    [
        pytest.param("client:7", "Acme", id="a client"),
        pytest.param("client:8", "client 8 (gone)", id="a client that is gone"),
        pytest.param("jwt:1:alice", "token of alice", id="a token"),
        pytest.param("jwt:1:auth0|a:b", "token of auth0|a:b", id="a subject with a colon"),
        pytest.param("user:3", "user 3", id="a user"),
        pytest.param("ip:192.0.2.1", "address 192.0.2.1", id="an address"),
        pytest.param("ip:2001:db8::/64", "address 2001:db8::/64", id="a network"),
        pytest.param("ip:unknown", "address unknown", id="an unknown address"),
        pytest.param("", "others", id="all others"),
        pytest.param("odd", "odd", id="anything else"),
    ],
)
def test_a_principal_is_named_as_people_know_it(principal, words):
    assert format_principal(principal, {"7": "Acme"}) == words
