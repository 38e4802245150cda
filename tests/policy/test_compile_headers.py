"""Header policies as one write per response: by mode, by scheme, by media type."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from hypothesis import given
from hypothesis import strategies as st

from apiguard.models import HeaderPolicy
from apiguard.policy.compilers.headers import REMEMBERED_TYPES
from apiguard.request.django_private import header_table
from apiguard.request.response import apply_writes
from tests.policy.rows import broken, codes, compiled, header, route

JSON, HTML = "application/json", "text/html; charset=utf-8"


def headers_of(*rows):
    """What the route of a policy of these rows sends; each row is (value, fields)."""
    numbered = (
        header(number, name=fields.pop("name", "X-A"), value=value, **fields)
        for number, (value, fields) in enumerate(((v, dict(f)) for v, f in rows), 1)
    )
    snapshot = compiled(HeaderPolicy(pk=1, name="h"), *numbered, route(header_policy_id=1))
    assert not broken(snapshot)
    return snapshot.routes.find("/r1/").headers


def sent(headers, content_type, own=(), *, secure=False, refused=False):
    """The headers of a response that the view gave ``own``, Content-Type apart."""
    response = HttpResponse(content_type=content_type or "text/plain", headers=dict(own))
    del response.headers["Content-Type"]
    if headers.by_type is not None:
        headers = headers.by_type(content_type)
    writes = headers.https if secure else headers.http
    apply_writes(writes, header_table(response), refused=refused)
    return dict(response.headers)


@pytest.mark.parametrize(
    ("mode", "own", "expected"),
    [
        pytest.param("default", {}, {"X-A": "ours"}, id="default, absent"),
        pytest.param("default", {"x-a": "view"}, {"x-a": "view"}, id="default, set"),
        pytest.param("force", {}, {"X-A": "ours"}, id="force, absent"),
        pytest.param("force", {"x-a": "view"}, {"X-A": "ours"}, id="force, set"),
        pytest.param("remove", {}, {}, id="remove, absent"),
        pytest.param("remove", {"x-a": "view"}, {}, id="remove, set"),
    ],
)
@pytest.mark.parametrize("types", [[], ["*/*"], ["text/html"]], ids=["all", "any", "html"])
def test_a_mode_means_the_same_for_all_types_and_for_one(mode, own, expected, types):
    headers = headers_of(("ours", {"mode": mode, "content_types": types}))
    assert sent(headers, HTML, own) == expected


def test_a_policy_without_types_is_not_asked_for_any():
    assert headers_of(("a", {})).by_type is None


ROWS = (
    ("all", {}),
    ("any", {"content_types": ["*/*"]}),
    ("application", {"content_types": ["application/*"]}),
    ("suffix", {"content_types": ["application/*+json"]}),
    ("json", {"content_types": ["text/json", "application/json"]}),
)


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]], ids=["general first", "general last"])
@pytest.mark.parametrize("mode", ["default", "force"])
@pytest.mark.parametrize(
    ("content_type", "value"),
    [
        (JSON, "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("text/json", "json"),
        ("application/problem+json", "suffix"),
        ("application/pdf", "application"),
        (HTML, "any"),
    ],
)
def test_the_row_that_names_the_type_most_closely_decides(rows, mode, content_type, value):
    headers = headers_of(*((value, {**fields, "mode": mode}) for value, fields in rows))
    assert sent(headers, content_type) == {"X-A": value}


@pytest.mark.parametrize(
    ("content_type", "value"),
    [(JSON, "json"), (HTML, "all"), ("text/html;;x", "all"), ("nonsense", None), ("", None)],
)
def test_a_row_for_all_types_is_for_those_that_no_other_names(content_type, value):
    headers = headers_of(("all", {}), ("json", {"content_types": [JSON]}))
    assert sent(headers, content_type).get("X-A") == value


def test_a_response_without_a_type_gets_only_what_depends_on_none():
    headers = headers_of(
        ("all", {}), ("html", {"content_types": ["text/html"]}), ("b", {"name": "X-B"})
    )
    assert sent(headers, "", {"X-A": "view"}) == {"X-A": "view", "X-B": "b"}
    assert dict(headers.http.default) == {"x-b": ("X-B", "b")}


def test_a_header_may_be_taken_from_one_type_alone():
    headers = headers_of(("a", {}), ("", {"mode": "remove", "content_types": ["text/html"]}))
    assert sent(headers, JSON) == {"X-A": "a"}
    assert sent(headers, HTML, {"X-A": "view"}) == {}


def test_over_http_a_row_for_https_gives_way_to_the_next_best():
    headers = headers_of(
        ("all", {}), ("html", {"content_types": ["text/html"], "condition": "https"})
    )
    assert sent(headers, HTML, secure=True) == {"X-A": "html"}
    assert sent(headers, HTML, secure=False) == {"X-A": "all"}


def test_a_row_for_https_alone_is_not_sent_over_http():
    headers = headers_of(("a", {"condition": "https"}))
    assert (sent(headers, JSON, secure=True), sent(headers, JSON)) == ({"X-A": "a"}, {})


CACHING = (
    ("no-store", {"name": "Cache-Control", "content_types": [JSON]}),
    ("0", {"name": "Expires"}),
)


@pytest.mark.parametrize(
    ("content_type", "own", "refused", "expected"),
    [
        pytest.param(JSON, {}, False, {"Cache-Control": "no-store", "Expires": "0"}, id="ours"),
        pytest.param(HTML, {}, False, {"Expires": "0"}, id="another type"),
        pytest.param(JSON, {"Pragma": "x"}, False, {"Pragma": "x"}, id="the view's"),
        pytest.param(
            JSON,
            {"Cache-Control": "x"},
            True,
            {"Cache-Control": "x", "Expires": "0"},
            id="a refusal's is completed",
        ),
    ],
)
def test_caching_is_one_decision_for_each_type(content_type, own, refused, expected):
    headers = headers_of(*CACHING)
    assert sent(headers, content_type, own, refused=refused) == expected


@pytest.mark.parametrize(
    ("types", "code"),
    [
        pytest.param(["html"], "malformed", id="no type"),
        pytest.param(["text/html;charset=utf-8"], "parameters", id="parameters"),
        pytest.param("text/html", "not_a_list", id="no list"),
        pytest.param([1], "not_a_list", id="numbers"),
        pytest.param(None, "not_a_list", id="nothing"),
        pytest.param({"text/html": 1}, "not_a_list", id="an object"),
    ],
)
def test_types_that_are_none_break_the_routes_of_the_policy(types, code):
    snapshot = compiled(
        HeaderPolicy(pk=1, name="h"), header(content_types=types), route(header_policy_id=1)
    )
    assert (broken(snapshot), codes(snapshot)) == ({"r1"}, [code])


def test_what_is_remembered_is_bounded():
    headers = headers_of(("a", {"content_types": [JSON]}))
    for number in range(3 * REMEMBERED_TYPES):
        headers.by_type(f"text/html; a={number}")
    assert headers.by_type.cache_info().currsize == REMEMBERED_TYPES


def test_the_same_type_is_judged_once():
    headers = headers_of(("a", {"content_types": [JSON]}))
    assert headers.by_type(JSON) is headers.by_type(JSON)


@given(st.text(max_size=40) | st.text(alphabet="texhml/*;+ \x00é", max_size=40))
def test_no_content_type_of_a_view_is_too_strange(content_type):
    headers = headers_of(("all", {}), ("html", {"content_types": ["text/*"]}))
    assert sent_values(headers, content_type) in (set(), {"all"}, {"html"})


def sent_values(headers, content_type):
    return {value for _, value in headers.by_type(content_type).http.default.values()}
