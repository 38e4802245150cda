"""Header names, values and lists; methods."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.errors import HeaderError
from apiguard.rules.headers import (
    check_field_name,
    check_field_value,
    check_method,
    check_response_header,
    is_token,
    merge_vary,
    split_list,
)

WIRE_TEXT = st.text(max_size=40) | st.text(alphabet=' \t\r\n,*:;"aZ-é\x00', max_size=20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X-API-Key", True),
        ("!#$%&'*+-.^_`|~09azAZ", True),
        ("", False),
        ("a b", False),
        ("a:", False),
        ("a\n", False),
        ("é", False),
        ('"', False),
    ],
)
def test_tokens_are_distinguished_from_other_text(text, expected):
    assert is_token(text) is expected


@pytest.mark.parametrize("name", ["X-Frame-Options", "x_y", "DNT", "a" * 128])
def test_a_header_name_is_kept_as_it_is(name):
    assert check_field_name(name) == name


@pytest.mark.parametrize(
    ("name", "code", "suggestion"),
    [
        ("", "empty", None),
        ("*", "wildcard", None),
        pytest.param("a" * 129, "too_long", None, id="129 characters"),
        (" X-Frame-Options: ", "bad_name", "X-Frame-Options"),
        ("X Frame", "bad_name", None),
        ("X-A\r\nX-B", "bad_name", None),
        ("größe", "bad_name", None),
    ],
)
def test_a_wrong_header_name_is_refused(name, code, suggestion):
    with pytest.raises(HeaderError) as caught:
        check_field_name(name)
    assert (caught.value.code, caught.value.suggestion) == (code, suggestion)


@pytest.mark.parametrize(
    "value", ["", "nosniff", "a\tb c", "é ÿ", pytest.param("x" * 8190, id="8190 characters")]
)
def test_a_header_value_is_kept_as_it_is(value):
    assert check_field_value(value) == value


@pytest.mark.parametrize(
    ("value", "code", "suggestion"),
    [
        ("a\r\nSet-Cookie: b", "line_break", None),
        ("a\nb", "line_break", None),
        ("a\n", "line_break", "a"),
        ("a\x00", "control_character", None),
        ("a\x7f", "control_character", None),
        ("a\x85b", "control_character", None),
        ("€", "not_latin_1", None),
        (" a", "white_space_at_ends", "a"),
        ("a\t", "white_space_at_ends", "a"),
        (" ", "white_space_at_ends", None),
        pytest.param("x" * 8191, "too_long", None, id="8191 characters"),
    ],
)
def test_a_wrong_header_value_is_refused(value, code, suggestion):
    with pytest.raises(HeaderError) as caught:
        check_field_value(value)
    assert (caught.value.code, caught.value.suggestion) == (code, suggestion)


@given(WIRE_TEXT)
def test_what_passes_as_a_value_cannot_end_the_line(value):
    try:
        check_field_value(value)
    except HeaderError as error:
        suggestion = error.suggestion
        assert suggestion is None or check_field_value(suggestion) == suggestion
    else:
        assert value.encode("latin-1").split(b"\n")[0].split(b"\r")[0] == value.encode("latin-1")


@pytest.mark.parametrize("method", ["GET", "PATCH", "PROPFIND", "X-Custom", "purge"])
def test_a_method_is_kept_as_it_is(method):
    assert check_method(method) == method


@pytest.mark.parametrize(
    ("method", "code", "suggestion"),
    [
        ("", "empty", None),
        ("*", "wildcard", None),
        ("connect", "forbidden_method", None),
        ("TRACE", "forbidden_method", None),
        ("Track", "forbidden_method", None),
        ("get", "lower_case_method", "GET"),
        ("Patch", "lower_case_method", "PATCH"),
        (" get ", "bad_method", "GET"),
        ("GET,POST", "bad_method", None),
        pytest.param("G" * 129, "bad_method", None, id="129 characters"),
    ],
)
def test_a_wrong_method_is_refused(method, code, suggestion):
    with pytest.raises(HeaderError) as caught:
        check_method(method)
    assert (caught.value.code, caught.value.suggestion) == (code, suggestion)


@pytest.mark.parametrize(
    ("name", "value", "removing"),
    [
        ("X-Frame-Options", "DENY", False),
        ("X-Powered-By", "", True),
        ("Server", "", True),
        ("Cross-Origin-Opener-Policy", "same-origin", False),
        ("Rate", "1", False),
    ],
)
def test_a_row_of_a_header_policy_passes(name, value, removing):
    check_response_header(name, value, removing=removing)


@pytest.mark.parametrize(
    ("name", "value", "code", "field"),
    [
        ("X Frame", "DENY", "bad_name", "name"),
        ("X-Frame-Options", "", "no_value", "value"),
        ("X-Frame-Options", "a\nb", "line_break", "value"),
        ("Content-Length", "1", "forbidden_header", "name"),
        ("transfer-encoding", "chunked", "forbidden_header", "name"),
        ("Set-Cookie", "a=b", "forbidden_header", "name"),
        ("VARY", "Origin", "forbidden_header", "name"),
        ("Access-Control-Allow-Origin", "*", "forbidden_header", "name"),
        ("RateLimit", "x", "forbidden_header", "name"),
        ("RateLimit-Policy", "x", "forbidden_header", "name"),
        ("X-RateLimit-Limit", "1", "forbidden_header", "name"),
        ("X-Request-ID", "1", "forbidden_header", "name"),
        ("WWW-Authenticate", "Basic", "forbidden_header", "name"),
    ],
)
def test_a_wrong_row_of_a_header_policy_is_refused_at_its_field(name, value, code, field):
    with pytest.raises(HeaderError) as caught:
        check_response_header(name, value, removing=False)
    assert (caught.value.code, caught.value.field) == (code, field)


def test_what_apiguard_writes_cannot_be_removed_either():
    with pytest.raises(HeaderError) as caught:
        check_response_header("Vary", "", removing=True)
    assert caught.value.code == "forbidden_header"


@pytest.mark.parametrize(
    ("existing", "names", "merged"),
    [
        ("", [], ""),
        ("", ["Origin"], "Origin"),
        ("Accept", ["Origin"], "Accept, Origin"),
        ("accept,origin", ["Origin", "Cookie", "cookie"], "accept, origin, Cookie"),
        ("Accept, , ", ["Origin"], "Accept, Origin"),
        ("*", ["Origin"], "*"),
        ("Accept, *", ["Origin"], "*"),
        ("Accept", ["*"], "*"),
    ],
)
def test_vary_keeps_its_order_and_names_each_once(existing, names, merged):
    assert merge_vary(existing, names) == merged


@pytest.mark.parametrize(
    ("value", "members"),
    [
        ("", []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a\t, b ", ["a", "b"]),
        ("a,,b", ["a", "b"]),
        ("a" + "," * 16, ["a"]),
        ("a" + "," * 17, None),
        ("a b", ["a b"]),
        pytest.param("a" * 4096, ["a" * 4096], id="the longest"),
        pytest.param("a" * 4097, None, id="one longer"),
        pytest.param("," * 10_000_000, None, id="ten million commas"),
    ],
)
def test_a_list_is_split_within_its_bounds(value, members):
    assert split_list(value) == members


@given(WIRE_TEXT, st.integers(0, 30), st.integers(0, 5))
def test_splitting_never_raises_and_leaves_no_empty_member(value, max_length, max_empty):
    members = split_list(value, max_length=max_length, max_empty=max_empty)
    if members is not None:
        assert len(value) <= max_length
        assert all(members)
