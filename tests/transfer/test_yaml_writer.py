"""What is written is read back as it was, by our reader and by those of YAML 1.1."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apiguard.transfer.yaml_reader import read_yaml
from apiguard.transfer.yaml_writer import scalar, write_yaml

# Half a character cannot be written in any encoding of Unicode.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["off", "Yes", "~", "1:00", "2026-12-01", "0x1f", "- a", "a: b", "a #b", "a:", " a", "a ", "<<"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
DATA = st.dictionaries(TEXT.filter(lambda key: key != "<<"), VALUES, max_size=3)


def without_merge_keys(value):
    if isinstance(value, dict):
        return {k: without_merge_keys(v) for k, v in value.items() if k != "<<"}
    return [without_merge_keys(item) for item in value] if isinstance(value, list) else value


@given(DATA.map(without_merge_keys))
def test_it_is_read_back_as_it_was_by_every_reader(data):
    text = write_yaml(data, {})
    read, _ = read_yaml(text)
    assert (read or {}) == data
    assert (yaml.safe_load(text) or {}) == data


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("enforce", "enforce"),
        ("https://*.example.com:8443", "https://*.example.com:8443"),
        ("orders:read", "orders:read"),
        ("Per minute", "Per minute"),
        ("default-src 'none'; sandbox", "default-src 'none'; sandbox"),
        ("off", '"off"'),
        ("1:00", '"1:00"'),
        ("*", '"*"'),
        ("a: b", '"a: b"'),
        ("a\nb", '"a\\x0ab"'),
        ("\U0001f600", '"\U0001f600"'),
        ("\u2028", '"\\u2028"'),
        ([], "[]"),
        ({}, "{}"),
        (None, "null"),
        (True, "true"),
    ],
)
def test_text_is_plain_where_nobody_can_misread_it(value, text):
    assert scalar(value) == text


def test_comments_stand_behind_their_values():
    data = {"version": 1, "rows": [{"name": "a", "tags": ["x", "z"]}]}
    comments = {("rows", 0, "name"): "first", ("rows", 0, "tags", 1): "last"}
    assert write_yaml(data, comments) == (
        "version: 1\n\nrows:\n- name: a  # first\n  tags:\n  - x\n  - z  # last\n"
    )
