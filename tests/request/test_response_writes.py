"""What a header policy does to a response's headers: row by row, and all at once."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.policy.snapshot import CACHING, HeaderWrites
from apiguard.request.django_private import header_table
from apiguard.request.response import apply_writes
from tests.examples import examples

NAMES = ["a", "b", "c", *sorted(CACHING)]
ROWS = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from(["", "x", "no-store", "DENY"]), max_size=6
)


def rendered(rows, case=str.title):
    return {name: (case(name), value) for name, value in rows.items()}


@st.composite
def writes(draw):
    """A compiled policy: a name has one row at most, and its caching is apart."""
    rows = draw(ROWS)
    kinds = {name: draw(st.sampled_from(["remove", "force", "default"])) for name in rows}
    of = {
        kind: {name: value for name, value in rows.items() if kinds[name] == kind}
        for kind in ("remove", "force", "default")
    }
    caching = {name: value for name, value in of["default"].items() if name in CACHING}
    default = {name: value for name, value in of["default"].items() if name not in CACHING}
    return HeaderWrites(
        tuple(of["remove"]), rendered(of["force"]), rendered(default), rendered(caching)
    )


def row_by_row(policy, own, *, refused):
    """The same by the words of the documentation, one row after the other."""
    view_decides = not refused and any(name in own for name in CACHING)
    headers = {name: header for name, header in own.items() if name not in policy.remove}
    headers |= policy.force
    for name, header in policy.default.items():
        if name not in headers:
            headers[name] = header
    for name, header in policy.caching.items():
        if name not in headers and not view_decides:
            headers[name] = header
    return headers


@settings(max_examples=examples(60))
@given(policy=writes(), own=ROWS, refused=st.booleans())
def test_all_at_once_is_what_it_is_row_by_row(policy, own, refused):
    store = rendered(own, str.upper)
    expected = row_by_row(policy, store, refused=refused)
    before = [policy.force, policy.default, policy.caching, policy.all_defaults]
    copies = [dict(part) for part in before]
    apply_writes(policy, store, refused=refused)
    assert store == expected
    # A policy is shared by all requests.
    assert before == copies


@settings(max_examples=50)
@given(policy=writes(), own=ROWS, refused=st.booleans())
def test_done_twice_it_changes_nothing_more_unless_the_view_had_decided(policy, own, refused):
    store = rendered(own)
    apply_writes(policy, store, refused=refused)
    once = dict(store)
    apply_writes(policy, store, refused=refused)
    assert store.keys() >= once.keys() - CACHING
    assert {name: store[name] for name in once} == once


BASELINE = HeaderWrites(
    remove=("server",),
    force=rendered({"x-frame-options": "DENY"}),
    default=rendered({"content-security-policy": "default-src 'none'"}),
    caching=rendered({"cache-control": "no-store", "pragma": "no-cache", "expires": "0"}),
)


@pytest.mark.parametrize(
    ("own", "refused", "caching"),
    [
        pytest.param({}, False, ["no-store", "no-cache", "0"], id="the view says nothing"),
        pytest.param(
            {"Cache-Control": "max-age=9"}, False, ["max-age=9", None, None], id="the view caches"
        ),
        pytest.param({"Expires": "1"}, False, [None, None, "1"], id="the view expires"),
        pytest.param(
            {"Cache-Control": "no-store"}, True, ["no-store", "no-cache", "0"], id="a refusal"
        ),
    ],
)
def test_a_view_that_decides_about_caching_decides_all_of_it(own, refused, caching):
    response = HttpResponse(headers={**own, "Server": "x", "X-Frame-Options": "SAMEORIGIN"})
    apply_writes(BASELINE, header_table(response), refused=refused)
    names = ("Cache-Control", "Pragma", "Expires")
    assert [response.headers.get(name) for name in names] == caching
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"
    assert "Server" not in response.headers


def test_a_caching_header_that_is_removed_was_still_the_views_decision():
    policy = HeaderWrites(
        remove=("cache-control",), caching=rendered({"pragma": "no-cache", "expires": "0"})
    )
    store = rendered({"cache-control": "max-age=9"})
    apply_writes(policy, store, refused=False)
    assert store == {}
