"""Path prefixes and the table that finds the longest one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.errors import PathError
from apiguard.rules.paths import PrefixTable, normalise_prefix


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("/", "/"),
        ("/api", "/api/"),
        ("/api/", "/api/"),
        ("/api/v1", "/api/v1/"),
        ("/API/", "/API/"),
        ("/a b/", "/a b/"),
        ("/größe", "/größe/"),
        ("/100%/", "/100%/"),
        ("/.well-known", "/.well-known/"),
        ("/a*b", "/a*b/"),
        pytest.param("/" + "a" * 253, "/" + "a" * 253 + "/", id="255 characters"),
    ],
)
def test_a_prefix_gets_a_slash_at_both_ends(text, prefix):
    assert normalise_prefix(text) == prefix
    assert normalise_prefix(prefix) == prefix


@pytest.mark.parametrize(
    ("text", "code", "suggestion"),
    [
        ("", "empty", None),
        (" /api", "white_space", "/api/"),
        ("/api\t", "white_space", "/api/"),
        ("api", "no_leading_slash", "/api/"),
        ("https://example.com/api", "no_leading_slash", "/api/"),
        ("//", "double_slash", "/"),
        ("//api", "double_slash", "/api/"),
        ("/api//v1", "double_slash", "/api/v1/"),
        ("/api/./v1", "dot_segment", None),
        ("/api/..", "dot_segment", None),
        ("/api?x=1", "query", "/api/"),
        ("/api#x", "fragment", "/api/"),
        ("\\api\\v1", "backslash", "/api/v1/"),
        ("/api\x00", "control_character", None),
        ("/a\nb", "control_character", None),
        ("/\ud800", "control_character", None),
        ("/a%20b", "percent_encoding", "/a b/"),
        ("/%ff", "percent_encoding", None),
        ("/api/*", "wildcard", "/api/"),
        ("/api/**/", "wildcard", "/api/"),
        ("/*/api", "wildcard", None),
        pytest.param("/" + "a" * 254, "too_long", None, id="256 characters"),
    ],
)
def test_every_mistake_has_its_code_and_its_suggestion(text, code, suggestion):
    with pytest.raises(PathError) as caught:
        normalise_prefix(text)
    assert (caught.value.code, caught.value.suggestion) == (code, suggestion)
    assert caught.value.value == text


@given(st.text(max_size=50) | st.text(alphabet="/.%2f*?#\\ a:", max_size=20))
def test_a_prefix_is_made_canonical_or_refused(text):
    try:
        prefix = normalise_prefix(text)
    except PathError as error:
        suggestion = error.suggestion
        assert suggestion is None or normalise_prefix(suggestion) == suggestion
    else:
        assert normalise_prefix(prefix) == prefix
        assert prefix[0] == prefix[-1] == "/"


TABLE = PrefixTable({p: p for p in ("/api/", "/api/export/", "/health/", "/a/b/c/d/")})


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api", "/api/"),
        ("/api/", "/api/"),
        ("/api/orders", "/api/"),
        ("/api/exports", "/api/"),
        ("/api/export", "/api/export/"),
        ("/api/export/", "/api/export/"),
        ("/api/export/2024/01/02/03/04", "/api/export/"),
        ("/api//export", "/api/"),
        ("/apiary", None),
        ("/API/", None),
        ("/ap", None),
        ("//api/", None),
        ("/", None),
        ("", None),
        ("api/", None),
        ("*", None),
        ("/a/b/c/d", "/a/b/c/d/"),
        ("/a/b/c", None),
        ("/a/b/c/dd", None),
    ],
)
def test_the_longest_prefix_on_a_segment_boundary_is_found(path, found):
    assert TABLE.find(path) == found


def test_the_root_covers_every_path():
    table = PrefixTable({"/": "root", "/api/": "api"})
    assert [table.find(path) for path in ("/", "", "/x", "/api", "/apis")] == [
        "root",
        "root",
        "root",
        "api",
        "root",
    ]


def test_an_empty_table_finds_nothing():
    assert PrefixTable[str]({}).find("/api/") is None


def test_later_changes_of_the_mapping_do_not_reach_the_table():
    entries = {"/api/": 1}
    table = PrefixTable(entries)
    entries["/api/"] = 2
    assert table.find("/api/") == 1


class CountingPath(str):
    """A path that counts how often it is searched."""

    __slots__ = ("searches",)

    def find(self, *args):
        self.searches = getattr(self, "searches", 0) + 1
        return super().find(*args)


def test_the_cost_is_bounded_by_the_deepest_prefix():
    path = CountingPath("/" * 8000)
    assert TABLE.find(path) is None
    assert path.searches == 5


SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=5)
PATHS = SEGMENTS.map(lambda segments: "/" + "/".join(segments))
PREFIXES = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=4).map(
    lambda segments: "/" + "".join(f"{segment}/" for segment in segments)
)


@given(st.sets(PREFIXES, max_size=8), PATHS)
def test_the_table_agrees_with_naive_matching(prefixes, path):
    covering = [p for p in prefixes if path.startswith(p) or f"{path}/" == p]
    table = PrefixTable({prefix: prefix for prefix in prefixes})
    assert table.find(path) == max(covering, key=len, default=None)
