"""Expressions become patterns where they say the same, and are refused elsewhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules.origins import OriginSet, parse_pattern, pattern_errors
from apiguard.transfer.origin_regex import matches_everything, translate

SUBDOMAINS = ["https://*.example.com"]
WITH_DOMAIN = ["https://*.example.com", "https://example.com"]
BOTH_SCHEMES = ["https://example.com", "http://example.com"]


@pytest.mark.parametrize(
    ("regex", "patterns", "gained", "lost"),
    [
        (r"^https://example\.com$", ["https://example.com"], "", ""),
        (r"\Ahttps://example\.com\Z", ["https://example.com"], "", ""),
        (r"^https:\/\/example\.com$", ["https://example.com"], "", ""),
        (r"^https?://example\.com$", BOTH_SCHEMES, "", ""),
        (r"^(http|https)://example\.com$", BOTH_SCHEMES, "", ""),
        (r"^https://\w+\.example\.com$", SUBDOMAINS, "https://one.two.example.com", ""),
        (r"^https://(\w+)\.example\.com$", SUBDOMAINS, "https://with-hyphen.example.com", ""),
        (r"^https://[\w-]+\.example\.com$", SUBDOMAINS, "https://one.two.example.com", ""),
        (r"^https://[a-z0-9-]+\.example\.com$", SUBDOMAINS, "https://one.two.example.com", ""),
        (r"^https://[^.]+\.example\.com$", SUBDOMAINS, "https://one.two.example.com", ""),
        (r"^https://[a-z.]+\.example\.com$", SUBDOMAINS, "https://42.example.com", ""),
        (r"^https://[^/]+\.example\.com$", SUBDOMAINS, "", ""),
        (r"^https://.+\.example\.com$", SUBDOMAINS, "", ""),
        (r"^https://.*\.example\.com$", SUBDOMAINS, "", ""),
        (r"^https://(.+)\.example\.com$", SUBDOMAINS, "", ""),
        (r"^https://(?:.+)\.example\.com$", SUBDOMAINS, "", ""),
        (r"^https://(?:[a-z]+\.)+example\.com$", SUBDOMAINS, "https://42.example.com", ""),
        (r"^https://(\w+\.)?example\.com$", WITH_DOMAIN, "https://one.two.example.com", ""),
        (r"^https://(.*\.)?example\.com$", WITH_DOMAIN, "", ""),
        (
            r"^https://(app|admin)\.example\.com$",
            ["https://app.example.com", "https://admin.example.com"],
            "",
            "",
        ),
        (
            r"^https://example\.(?:com|org)$",
            ["https://example.com", "https://example.org"],
            "",
            "",
        ),
        (r"^http://localhost:\d+$", ["http://localhost:*"], "http://localhost", ""),
        (r"^http://localhost:[0-9]{4}$", ["http://localhost:*"], "http://localhost:65000", ""),
        (r"^http://localhost(:\d+)?$", ["http://localhost:*"], "", ""),
        (r"^http://localhost(?::[0-9]+)?$", ["http://localhost:*"], "", ""),
        (r"^http://localhost:?\d*$", ["http://localhost:*"], "", ""),
        (
            r"^http://localhost:(4200|8080)$",
            ["http://localhost:4200", "http://localhost:8080"],
            "",
            "",
        ),
        (r"^http://127\.0\.0\.1:3000$", ["http://127.0.0.1:3000"], "", ""),
        # re.match: nothing says where the origin ends, and a dot is any character.
        (
            r"https://\w+\.example\.com",
            SUBDOMAINS,
            "https://one.two.example.com",
            "https://label.example.com.attacker.example",
        ),
        (r"https://example\.com", ["https://example.com"], "", "https://example.com:8443"),
        (
            r"^https://app.example.com$",
            ["https://app.example.com"],
            "",
            "https://appxexample.com",
        ),
    ],
)
def test_a_usual_expression_is_translated_and_each_difference_has_an_example(
    regex, patterns, gained, lost
):
    found = translate(regex)
    assert found is not None
    assert list(found.patterns) == patterns
    sentences = [("The rows also match", gained), ("The rows no longer match", lost)]
    expected = [(begin, example) for begin, example in sentences if example]
    assert len(found.differences) == len(expected), found.differences
    for difference, (begin, example) in zip(found.differences, expected, strict=True):
        assert difference.startswith(begin)
        assert example in difference


def test_a_port_that_browsers_leave_out_was_never_matched():
    assert translate(r"^https://example\.com:443$") is None


@pytest.mark.parametrize(
    ("regex", "everything"),
    [
        (".*", True),
        (r"^https?://.*$", True),
        ("", True),
        (r"^https://.*\.com$", False),
        (r"^https://example\.com$", False),
        ("(", False),
        ("a" * 501, False),
    ],
)
def test_an_expression_that_permits_everybody_is_recognised(regex, everything):
    assert matches_everything(regex) is everything


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
            assert any(
                re.match(regex, pattern.replace("*.", label).replace(":*", port))
                for label in ("label.", "one.two.", "with-hyphen.", "42.")
                for port in ("", ":8443", ":80", ":443", ":65000")
            )
