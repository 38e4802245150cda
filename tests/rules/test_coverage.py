"""Which prefixes cover a pattern of which only the beginning is fixed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules.coverage import FixedPath, find_guards
from apiguard.rules.paths import PrefixTable


def guards_of(path, *prefixes):
    table = PrefixTable({prefix: prefix for prefix in prefixes})
    found = find_guards(path, table, sorted(prefixes))
    return found.everywhere, found.in_part


@pytest.mark.parametrize(
    ("path", "prefixes", "everywhere", "in_part"),
    [
        (FixedPath("/api/orders", True), ["/", "/api/", "/api/orders/"], "/api/orders/", ()),
        (FixedPath("/api/orders/", True), ["/api/orders/", "/api/orders/5/"], "/api/orders/", ()),
        (FixedPath("/apiary", True), ["/api/"], None, ()),
        (FixedPath("/api/", False), ["/api/"], "/api/", ()),
        (FixedPath("/api/", False), ["/api/", "/api/x/"], "/api/", ("/api/x/",)),
        (FixedPath("/", False), ["/api/", "/v1/"], None, ("/api/", "/v1/")),
        # A regular expression may go on with any letter.
        (FixedPath("/api", False), ["/api/"], None, ("/api/",)),
        (FixedPath("/api/ord", False), ["/api/"], "/api/", ()),
        (FixedPath("/shop/", False), ["/api/"], None, ()),
    ],
)
def test_what_decides_for_a_pattern(path, prefixes, everywhere, in_part):
    assert guards_of(path, *prefixes) == (everywhere, in_part)
    covering = [prefix for prefix in prefixes if path.may_be_below(prefix)]
    assert set(covering) >= {*in_part, *([everywhere] if everywhere else [])}


SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3)
PREFIXES = SEGMENTS.map(lambda parts: "/".join(["", *parts, ""]))


@given(st.lists(PREFIXES, unique=True), SEGMENTS, st.text("ab/", max_size=4))
def test_no_path_of_a_pattern_has_another_guard_than_those_found(prefixes, fixed, rest):
    text = "/" + "/".join(fixed)
    table = PrefixTable({prefix: prefix for prefix in prefixes})
    decides = table.find(text + rest)
    everywhere, in_part = guards_of(FixedPath(text, False), *prefixes)
    assert decides in (everywhere, *in_part)
