from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.errors import ScopeError
from apiguard.rules.scopes import check_registered, parse_scopes, split_scope_claim


def test_scopes_are_sorted_and_unique():
    assert parse_scopes(["b", "a:write", "b"]) == ("a:write", "b")


def test_no_scopes_are_no_scopes():
    assert parse_scopes([]) == ()


@pytest.mark.parametrize("scope", ["a", "!", "#", "[", "]", "~", "x" * 255, "urn:a/b?c=d"])
def test_every_scope_token_of_the_rfc_is_accepted(scope):
    assert parse_scopes([scope]) == (scope,)


@pytest.mark.parametrize(
    "scope",
    ["", " ", "a b", 'a"', "a\\", "a\n", "\x7f", "\u00e9", "\ud800", "x" * 256, None, 7, ["a"]],
    ids=ascii,
)
def test_what_is_no_scope_token_is_refused(scope):
    with pytest.raises(ScopeError) as raised:
        parse_scopes(["fine", scope])
    assert raised.value.value == scope


def test_spaces_around_a_scope_come_with_a_suggestion():
    with pytest.raises(ScopeError) as raised:
        parse_scopes([" orders:read"])
    assert raised.value.suggestion == "orders:read"


@pytest.mark.parametrize("value", ["orders:read", b"orders", None, 7])
def test_one_string_is_not_a_list_of_letters(value):
    with pytest.raises(ScopeError) as raised:
        parse_scopes(value)
    assert raised.value.code == "scopes_not_a_list"


def test_without_a_registry_every_scope_is_known():
    assert check_registered(("x",), None) == []


def test_a_scope_outside_the_registry_comes_with_the_nearest():
    errors = check_registered(("orders:raed", "zzz", "b"), {"orders:read", "b"})
    assert [(error.value, error.suggestion) for error in errors] == [
        ("orders:raed", "orders:read"),
        ("zzz", None),
    ]


@pytest.mark.parametrize(
    ("claim", "scopes"),
    [
        pytest.param("a b", {"a", "b"}, id="a string"),
        pytest.param(" a  b ", {"a", "b"}, id="spaces in a row"),
        pytest.param("a\tb c", {"c"}, id="a tab separates nothing"),
        pytest.param(["a", "b"], {"a", "b"}, id="a list"),
        pytest.param(["a b", "c"], {"c"}, id="a list member with a space"),
        pytest.param(["a", 1], set(), id="a list of all sorts"),
        pytest.param("", set(), id="an empty string"),
        pytest.param(None, set(), id="null"),
        pytest.param(True, set(), id="a boolean"),
        pytest.param({"a": 1}, set(), id="an object"),
        pytest.param("\u00e9 \ud800 a", {"a"}, id="no ASCII"),
    ],
)
def test_a_claim_is_split_and_nothing_else_grants_anything(claim, scopes):
    assert split_scope_claim(claim) == scopes


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_what_is_split_from_any_claim_is_valid_scopes(claim):
    assert parse_scopes(split_scope_claim(claim)) == tuple(sorted(split_scope_claim(claim)))
