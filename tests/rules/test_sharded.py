"""An immutable map: its successors are what a dict would be, and it stays as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules.origins import OriginSet, parse_pattern
from apiguard.rules.sharded import MOST, ShardedMap

KEYS = st.integers(0, 30)
EDITS = st.lists(st.tuples(st.lists(KEYS, max_size=3), st.dictionaries(KEYS, KEYS, max_size=5)))
PATTERNS = st.lists(
    st.sampled_from(
        [
            *("https://a.example", "https://b.example", "https://*.a.example", "*"),
            *("https://*.b.c.example:*", "http://localhost:*"),
        ]
    ).map(parse_pattern)
)
ORIGINS = (
    *("https://a.example", "https://x.a.example", "https://y.x.b.c.example:8443"),
    *("http://localhost:1", "https://foreign.example"),
)


@given(st.dictionaries(KEYS, KEYS), EDITS)
def test_successors_are_what_a_dict_would_be_and_the_first_stays_as_it_was(entries, edits):
    first = now = ShardedMap(entries.items())
    expected = dict(entries)
    for removed, written in edits:
        now = now.after(removed, written)
        for key in removed:
            expected.pop(key, None)
        expected.update(written)
        assert (dict(now.items()), len(now)) == (expected, len(expected))
        assert all(
            (key in now, now.get(key)) == (key in expected, expected.get(key)) for key in range(31)
        )
    assert dict(first.items()) == entries


def test_a_map_that_grows_is_arranged_anew_and_shards_that_did_not_change_are_shared():
    grown = ShardedMap[int, int]()
    for start in range(0, 20 * MOST, 100):
        grown = grown.after((), {key: key for key in range(start, start + 100)})
    assert max(map(len, grown._shards)) <= 2 * MOST
    successor = grown.after([5], {})
    same = [old is new for old, new in zip(grown._shards, successor._shards, strict=True)]
    assert same.count(False) == 1
    assert grown.after((), {}) is grown


@given(PATTERNS, PATTERNS, PATTERNS)
def test_a_successor_of_a_set_of_origins_matches_like_one_that_is_made_anew(kept, removed, added):
    before = OriginSet([*kept, *removed])
    after, anew = before.after(removed, added), OriginSet([*kept, *added])
    assert [after.match(origin) for origin in ORIGINS] == [anew.match(origin) for origin in ORIGINS]
    assert (after.texts(), after._depths) == (anew.texts(), anew._depths)
    assert before.texts() == OriginSet([*kept, *removed]).texts()
