"""Expressions become patterns where they say the same, and are refused elsewhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules.origins import OriginSet, parse_pattern, pattern_errors
from apiguard.transfer.origin_regex import translate


@pytest.mark.parametrize(
    ("regex", "patterns", "differences"),
    [
        (r"^https://example\.com$", ["https://example.com"], 0),
        (r"\Ahttps://example\.com\Z", ["https://example.com"], 0),
        (r"^https:\/\/example\.com$", ["https://example.com"], 0),
        (r"^https?://example\.com$", ["https://example.com", "http://example.com"], 0),
        (r"^(http|https)://example\.com$", ["https://example.com", "http://example.com"], 0),
        (r"^https://\w+\.example\.com$", ["https://*.example.com"], 1),
        (r"^https://[\w-]+\.example\.com$", ["https://*.example.com"], 1),
        (r"^https://[a-z0-9-]+\.example\.com$", ["https://*.example.com"], 1),
        (r"^https://[^.]+\.example\.com$", ["https://*.example.com"], 1),
        (r"^https://[^/]+\.example\.com$", ["https://*.example.com"], 0),
        (r"^https://.+\.example\.com$", ["https://*.example.com"], 0),
        (r"^https://.*\.example\.com$", ["https://*.example.com"], 0),
        (r"^https://(?:[a-z]+\.)+example\.com$", ["https://*.example.com"], 0),
        (
            r"^https://(\w+\.)?example\.com$",
            ["https://*.example.com", "https://example.com"],
            1,
        ),
        (
            r"^https://(.*\.)?example\.com$",
            ["https://*.example.com", "https://example.com"],
            0,
        ),
        (
            r"^https://(app|admin)\.example\.com$",
            ["https://app.example.com", "https://admin.example.com"],
            0,
        ),
        (r"^https://example\.(?:com|org)$", ["https://example.com", "https://example.org"], 0),
        (r"^http://localhost:\d+$", ["http://localhost:*"], 0),
        (r"^http://localhost:[0-9]{4}$", ["http://localhost:*"], 0),
        (r"^http://localhost(:\d+)?$", ["http://localhost:*"], 0),
        (r"^http://localhost(?::[0-9]+)?$", ["http://localhost:*"], 0),
        (r"^http://127\.0\.0\.1:3000$", ["http://127.0.0.1:3000"], 0),
        (r"^https://example\.com:443$", [], 0),
        # re.match: nothing says where the origin ends, and a dot is any character.
        (r"https://\w+\.example\.com", ["https://*.example.com"], 2),
        (r"^https://app.example.com$", ["https://app.example.com"], 1),
    ],
)
def test_a_usual_expression_is_translated(regex, patterns, differences):
    found = translate(regex)
    if not patterns:
        assert found is None
        return
    assert found is not None
    assert list(found.patterns) == patterns
    assert len(found.differences) == differences


@pytest.mark.parametrize(
    "regex",
    [
        "",
        ".*",
        r"^.*$",
        r"^https://.*$",
        r"https?://.*",
        r".*\.example\.com$",
        r"^https://preview-\d+\.example\.com$",
        r"^https://app-.*\.example\.com$",
        r"^https://(?!evil)\w+\.example\.com$",
        r"^https://\d+\.example\.com$",
        r"^https://[\w-]+\.example\.com/?$",
        r"^https://(?:[ab]+\.)+example\.com$",
        r"^ftp://example\.com$",
        r"^null$",
        r"^https://(",
        r"^(https://a\.com|https://b\.com)$",
        r"^https://[a-z]+\.[a-z]+\.com$",
        "^https://" + "(a|b)" * 20 + r"\.com$",
        "(" * 1000,
        "a" * 10_000,
    ],
)
def test_what_has_no_counterpart_is_refused(regex):
    assert translate(regex) is None


def test_what_a_sloppy_expression_let_in_does_not_come_along():
    found = translate(r"https://\w+\.example\.com")
    assert found is not None
    assert re.match(r"https://\w+\.example\.com", "https://a.example.com.evil.com")
    allowed = OriginSet([parse_pattern(pattern) for pattern in found.patterns])
    assert allowed.match("https://a.example.com.evil.com") is None
    assert allowed.match("https://a.example.com") == "https://a.example.com"


PIECES = st.sampled_from(
    [
        *("^", "$", "https", "http", "?", "://", r":\/\/", "(s)?", "(http|https)", r"\w+", r"\."),
        *(".", ".*", ".+", "[a-z-]+", "[^.]+", "(", ")", "(?:", "|", "example", "com", "localhost"),
        *(r":\d+", r"(:\d+)?", ":3000", "+", "*", "?", "\\", "[", "]", "a", "1"),
    ]
)


@given(st.one_of(st.lists(PIECES, max_size=14).map("".join), st.text(max_size=60)))
def test_translating_never_raises_and_gives_patterns_that_the_expression_matches(regex):
    found = translate(regex)
    if found is not None:
        assert found.patterns
        for pattern in found.patterns:
            assert pattern_errors(pattern) == []
            example = pattern.replace("*.", "label.").replace(":*", ":8443")
            assert re.match(regex, example, re.IGNORECASE)
