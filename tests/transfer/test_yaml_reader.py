"""YAML of policy files: one meaning for each text, and for any text nothing but our errors."""

from __future__ import annotations

import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from apiguard.errors import DocumentError
from apiguard.transfer.documents import MAX_BYTES, read_document
from apiguard.transfer.policy_files import read_wanted
from apiguard.transfer.yaml_reader import MAX_DEPTH, read_yaml

FUZZ = int(os.environ.get("APIGUARD_DOCUMENTS", "60"))


@pytest.fixture(params=["libyaml", "pure Python"], autouse=True)
def parser(request, monkeypatch):
    """PyYAML has two parsers; which one is there depends on how it was installed."""
    if request.param == "pure Python":
        monkeypatch.delattr(yaml, "CSafeLoader")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("off", "on", "no", "yes", "y", "N", "Off", "tRUE")),
        *(
            (word, word)
            for word in ("1:00", "190:20:30", "2026-12-01", "1_000", "0b1", "=", "1.2.3")
        ),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, None) for word in ("null", "Null", "NULL", "~", "")),
        *(("0", 0), ("-7", -7), ("+7", 7), ("007", 7), ("0o17", 15), ("0xfF", 255)),
        *((".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1.5E-3", -0.0015)),
        *(("'off'", "off"), ('"true"', "true"), ("'1'", "1"), ('"\\u00e9"', "é")),
        ("|\n  true\n", "true\n"),
        (">-\n  a\n  b", "a b"),
        ("[a, {b: c}]", ["a", {"b": "c"}]),
        ("https://a.example", "https://a.example"),
        ("orders:read # comment", "orders:read"),
    ],
)
def test_a_value_is_what_the_core_schema_says(text, value):
    read, _ = read_yaml(f"a: {text}")
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ("a: &x 1", "anchor", (1, 4)),
        ("a: 1\nb: *x", "alias", (2, 4)),
        ("a: &x {b: *x}", "anchor", (1, 4)),
        ("a: !!python/object:os.system {}", "tag", (1, 4)),
        ("a: !!str 1", "tag", (1, 4)),
        ("a: ! 1", "tag", (1, 4)),
        ("%TAG ! tag:x,2000:\n---\na: 1", "tag", (1, 1)),
        ("a: 1\nb: 2\na: 3", "repeated_key", (3, 1)),
        ("a: {b: 1, 'b': 2}", "repeated_key", (1, 11)),
        ("a:\n  <<: {b: 1}", "merge_key", (2, 3)),
        ("? [a]\n: 1", "bad_key", (1, 3)),
        ("a: 1\n---\nb: 1", "documents", (2, 1)),
        ("a: .inf", "bad_number", (1, 4)),
        ("a: .NaN", "bad_number", (1, 4)),
        ("a: 1e999", "bad_number", (1, 4)),
        (f"a: {'9' * 5000}", "bad_number", (1, 4)),
        ("a: [1", "bad_yaml", None),
        ("a: b: c", "bad_yaml", (1, 5)),
        ("a:\n\tb: 1", "bad_yaml", None),
        ('a: "\\UFFFFFFFF"', "bad_yaml", None),
        ("a: \x01", "bad_yaml", None),
    ],
)
def test_what_can_be_misread_is_refused_where_it_stands(text, code, position):
    with pytest.raises(DocumentError) as refused:
        read_document(text.encode())
    assert refused.value.code == code
    if position is not None:
        assert refused.value.position == position


def test_depth_is_bounded():
    read_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for text in ("[" * 100_000, "{a: " * 100_000, "- " * 100_000):
        with pytest.raises(DocumentError) as refused:
            read_yaml(text)
        # libyaml has a bound of its own, which it may meet first.
        assert refused.value.code in ("too_deep", "bad_yaml")


def test_size_is_bounded():
    with pytest.raises(DocumentError) as refused:
        read_document(b"#" * (MAX_BYTES + 1))
    assert refused.value.code == "too_large"


@pytest.mark.parametrize(
    ("raw", "code", "position"),
    [
        (b"\xff", "bad_utf8", (1, 1)),
        (b"a: 1\nb: \xe9", "bad_utf8", (2, 1)),
        (b"- a", "not_a_mapping", (1, 1)),
        (b"", "not_a_mapping", (1, 1)),
        (b'{"a": 1,\n "a": 2}', "duplicate_member", None),
        (b'{"a": 1,\n "b" 2}', "bad_json", (2, 6)),
        (b'{"a": NaN}', "bad_number", None),
        (b"{" * 100_000, "too_deep", None),
        (b'{"a": "\\ud800"}', "bad_utf8", None),
    ],
)
def test_a_file_that_holds_no_mapping_is_refused(raw, code, position):
    with pytest.raises(DocumentError) as refused:
        read_document(raw)
    assert (refused.value.code, refused.value.position) == (code, position)


# What YAML gives a meaning to, so that random texts reach it.
PIECES = st.sampled_from(
    [
        *(
            "routes:",
            "- name: a",
            "\n",
            "\n  ",
            "\n- ",
            "  limits:",
            ": ",
            "? ",
            "- ",
            "[",
            "]",
            "{",
        ),
        *("}", ",", "&a ", "*a", "!!int ", "!", "|", ">", "'", '"', "#", "%YAML 1.2\n", "---\n"),
        *("...\n", "\t", "\\", "\\x41", "\\UFFFFFFFF", "<<: ", "off", "1:00", "0x", "1e9", ".inf"),
        *("tiers:", "clients:", "metadata:", "version: 1", "é", "\x00", "\x85", "\ufeff", "\ud800"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=25).map("".join)


def read_or_refused(raw):
    """A document and no error, or the other way round; anything else is raised."""
    try:
        return read_document(raw), None
    except DocumentError as error:
        return None, error


@settings(max_examples=FUZZ)
@given(TEXTS | st.text())
def test_any_text_is_read_or_refused(text):
    document, error = read_or_refused(text.encode("utf-8", "surrogatepass"))
    problems = [error] if document is None else read_wanted(document).problems
    assert all(str(problem) and problem.as_dict()["code"] for problem in problems)


@settings(max_examples=FUZZ)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw):
    document, error = read_or_refused(raw)
    assert (document is None) != (error is None)


@pytest.mark.parametrize("text", [r'a: "\ud800"', r'"\udfff": 1', r'- "\ud83d\ude00"'])
def test_half_a_character_is_refused(text):
    with pytest.raises(DocumentError) as refused:
        read_yaml(text)
    assert refused.value.position is not None
