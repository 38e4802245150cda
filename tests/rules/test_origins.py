"""Origin patterns, what they grant, and matching against a naive oracle."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.errors import OriginError
from apiguard.rules.origins import (
    ANY,
    OriginPattern,
    OriginSet,
    check_patterns,
    parse_origin,
    parse_pattern,
)

LONG_LABEL = "a" * 63
LONG_HOST = ".".join([LONG_LABEL] * 3 + ["a" * 61])  # 253 characters
UUID = "2c127fa4-62c7-7e4f-90e5-472b45eecfdc"


def patterns(*texts: str) -> list[OriginPattern]:
    return [parse_pattern(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("*", ANY),
        ("https://example.com", OriginPattern("https", "example.com")),
        ("http://example.com:443", OriginPattern("http", "example.com", 443)),
        ("https://example.com:80", OriginPattern("https", "example.com", 80)),
        ("https://example.com:65535", OriginPattern("https", "example.com", 65535)),
        ("http://localhost:*", OriginPattern("http", "localhost", "*")),
        ("https://*.example.com", OriginPattern("https", "example.com", wildcard=True)),
        ("https://*.example.com:*", OriginPattern("https", "example.com", "*", wildcard=True)),
        ("https://xn--bcher-kva.example", OriginPattern("https", "xn--bcher-kva.example")),
        ("https://1and1.com", OriginPattern("https", "1and1.com")),
        ("http://127.0.0.1:3000", OriginPattern("http", "127.0.0.1", 3000)),
        ("http://[::1]:3000", OriginPattern("http", "[::1]", 3000)),
        ("https://[2001:db8::1]", OriginPattern("https", "[2001:db8::1]")),
        ("https://[::ffff:c000:201]", OriginPattern("https", "[::ffff:c000:201]")),
        ("capacitor://localhost", OriginPattern("capacitor", "localhost")),
        ("ionic://localhost", OriginPattern("ionic", "localhost")),
        ("tauri://localhost", OriginPattern("tauri", "localhost")),
        ("tauri://localhost:80", OriginPattern("tauri", "localhost", 80)),
        (
            f"chrome-extension://{'abcdefghijklmnop' * 2}",
            OriginPattern("chrome-extension", "abcdefghijklmnop" * 2),
        ),
        (f"moz-extension://{UUID}", OriginPattern("moz-extension", UUID)),
        pytest.param(
            f"https://{LONG_HOST}",
            OriginPattern("https", LONG_HOST),
            id="host of 253 characters",
        ),
    ],
)
def test_a_canonical_pattern_is_read_and_written_back(text, pattern):
    assert parse_pattern(text) == pattern
    assert pattern.text == text


@pytest.mark.parametrize(
    ("text", "code", "suggestion"),
    [
        ("", "empty", None),
        pytest.param("https://" + "a" * 600, "too_long", None, id="600 characters"),
        pytest.param(f"https://a{LONG_HOST}", "too_long", None, id="host of 254 characters"),
        (" https://example.com\n", "white_space", "https://example.com"),
        ("https://exa mple.com", "white_space", None),
        ("https://example.com\x00", "white_space", None),
        ("null", "null_origin", None),
        ("NULL ", "null_origin", None),
        ("file:///home/me", "file_origin", None),
        ("https://a.com,https://b.com", "several_origins", None),
        ("https://a.com https://b.com", "several_origins", None),
        (r"^https://.*\.example\.com$", "regular_expression", None),
        ("https://.*example.com", "regular_expression", None),
        ("https://(a|b).example.com", "regular_expression", None),
        ("example.com", "no_scheme", "https://example.com"),
        ("//example.com", "no_scheme", "https://example.com"),
        ("*.Example.com/", "no_scheme", "https://*.example.com"),
        ("https:example.com", "no_scheme", None),
        ("https://bücher.example", "non_ascii", "https://xn--bcher-kva.example"),
        ("HTTPS://*.Bücher.example:443/", "non_ascii", "https://*.xn--bcher-kva.example"),
        ("https://\ud800.example", "non_ascii", None),
        ("HTTPS://Example.com:443/", "upper_case", "https://example.com"),
        ("ftp://example.com", "unknown_scheme", None),
        ("ws://example.com", "unknown_scheme", None),
        ("://example.com", "unknown_scheme", None),
        ("*://example.com", "wildcard_position", None),
        ("https://example.com/", "path", "https://example.com"),
        ("https://example.com/a?b", "path", "https://example.com"),
        ("https:///", "path", None),
        ("https://example.com?a", "query", "https://example.com"),
        ("https://example.com#a", "query", "https://example.com"),
        ("https://user:secret@example.com", "user_info", "https://example.com"),
        ("https://", "no_host", None),
        ("https://:8080", "no_host", None),
        ("https://*.", "no_host", None),
        ("https://*", "wildcard_position", None),
        ("https://*:8080", "wildcard_position", None),
        ("https://*example.com", "wildcard_position", None),
        ("https://a.*.example.com", "wildcard_position", None),
        ("https://*.*.example.com", "wildcard_position", None),
        ("https://example.*", "wildcard_position", None),
        ("https://*.127.0.0.1", "wildcard_ip", None),
        ("https://*.[::1]", "wildcard_ip", None),
        ("http://127.1", "bad_ip", "http://127.0.0.1"),
        ("http://0x7f.0.0.1", "bad_ip", "http://127.0.0.1"),
        ("http://127.0.0.1.", "bad_ip", "http://127.0.0.1"),
        ("http://256.0.0.1", "bad_ip", None),
        ("http://example.123", "bad_ip", None),
        ("http://::1", "bad_ip", "http://[::1]"),
        ("http://[::1", "bad_ip", None),
        ("http://[::1]3000", "bad_ip", None),
        ("http://[0:0:0:0:0:0:0:1]:3000", "bad_ip", "http://[::1]:3000"),
        ("http://[::ffff:192.0.2.1]", "bad_ip", "http://[::ffff:c000:201]"),
        ("http://[fe80::1%eth0]", "bad_ip", "http://[fe80::1]"),
        ("https://example.com.", "bad_label", "https://example.com"),
        ("https://a..example.com", "bad_label", None),
        ("https://-a.example.com", "bad_label", None),
        ("https://a-.example.com", "bad_label", None),
        ("https://my_app.example.com", "bad_label", None),
        ("https://%61.example.com", "bad_label", None),
        (f"https://a{LONG_LABEL}.com", "bad_label", None),
        ("https://example.com:", "bad_port", "https://example.com"),
        ("https://example.com:0", "bad_port", None),
        ("https://example.com:65536", "bad_port", None),
        ("https://example.com:080", "bad_port", "https://example.com:80"),
        ("https://example.com:0443", "bad_port", "https://example.com"),
        ("https://example.com:-1", "bad_port", None),
        ("https://example.com:1*", "bad_port", None),
        ("https://example.com:443", "default_port", "https://example.com"),
        ("http://example.com:80", "default_port", "http://example.com"),
    ],
)
def test_every_mistake_has_its_code_and_its_suggestion(text, code, suggestion):
    with pytest.raises(OriginError) as caught:
        parse_pattern(text)
    assert (caught.value.code, caught.value.suggestion) == (code, suggestion)
    assert caught.value.value == text
    assert caught.value.reason
    assert caught.value.hint


LOOSE_TEXT = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="htps:/*.[]@?#%0123456789aA-é ", max_size=40),
    st.builds("{}://{}{}".format, st.text(max_size=8), st.text(max_size=30), st.text(max_size=8)),
    st.text(alphabet=".:*[]01axé-", max_size=30).map("https://{}".format),
)


@given(LOOSE_TEXT)
def test_a_pattern_is_canonical_or_refused_with_an_accepted_suggestion(text):
    try:
        assert parse_pattern(text).text == text
    except OriginError as error:
        suggestion = error.suggestion
        assert suggestion is None or parse_pattern(suggestion).text == suggestion


@pytest.mark.parametrize(
    ("text", "flags", "codes"),
    [
        ("*", {}, []),
        ("*", {"allow_credentials": True}, ["wildcard_with_credentials"]),
        ("https://a.example.com", {"allow_credentials": True}, []),
        ("http://a.example.com", {}, []),
        ("http://a.example.com", {"allow_credentials": True}, ["insecure_with_credentials"]),
        ("http://a.example.com", {"allow_credentials": True, "allow_insecure": True}, []),
        ("http://localhost:*", {"allow_credentials": True}, []),
        ("http://app.localhost", {"allow_credentials": True}, []),
        ("http://*.localhost:3000", {"allow_credentials": True}, []),
        ("http://127.8.9.10", {"allow_credentials": True}, []),
        ("http://[::1]:8080", {"allow_credentials": True}, []),
        ("http://notlocalhost", {"allow_credentials": True}, ["insecure_with_credentials"]),
        ("http://128.0.0.1", {"allow_credentials": True}, ["insecure_with_credentials"]),
        ("http://127.example.com", {"allow_credentials": True}, ["insecure_with_credentials"]),
        ("capacitor://localhost", {"allow_credentials": True}, []),
        ("https://*.example.com", {"allow_credentials": True}, []),
        ("https://*.com", {}, ["public_suffix"]),
        ("https://*.co.uk", {}, ["public_suffix"]),
        ("https://*.github.io", {}, ["public_suffix"]),
        ("https://*.compute.amazonaws.com", {}, ["public_suffix"]),
        ("https://*.xn--p1ai", {}, ["public_suffix"]),
        ("https://*.no-such-tld", {}, ["public_suffix"]),
        ("https://*.me.github.io", {}, []),
        ("https://github.io", {}, []),
        ("https://*.com", {"allow_public_suffixes": True}, []),
        (
            "http://*.com",
            {"allow_credentials": True},
            ["insecure_with_credentials", "public_suffix"],
        ),
    ],
)
def test_what_a_pattern_grants_to_strangers_is_refused(text, flags, codes):
    flags = {"allow_credentials": False, **flags}
    errors = check_patterns(patterns(text), **flags)
    assert [(error.code, error.value) for error in errors] == [(code, text) for code in codes]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("https://example.com", ("https", "example.com", None)),
        ("https://example.com:8443", ("https", "example.com", 8443)),
        ("http://[::1]:1", ("http", "[::1]", 1)),
        ("http://192.0.2.1", ("http", "192.0.2.1", None)),
        ("capacitor://localhost", ("capacitor", "localhost", None)),
        ("null", None),
        ("", None),
        ("*", None),
        ("https://*.example.com", None),
        ("https://example.com:443", None),
        ("https://example.com:08443", None),
        ("https://example.com:65536", None),
        ("https://example.com:0", None),
        ("https://example.com:", None),
        ("https://example.com/", None),
        ("https://Example.com", None),
        ("https://example.com.", None),
        ("https://example.com\n", None),
        ("https://example.com\x00.evil.com", None),
        ("https://example.com:٣", None),
        ("https://a@example.com", None),
        ("https://127.1", None),
        ("https://[0::1]", None),
        ("https://[v1.a]", None),
        ("ftp://example.com", None),
        ("file://", None),
        pytest.param("https://" + "a." * 300 + "com", None, id="too long"),
    ],
)
def test_a_requests_origin_is_read_only_in_canonical_form(text, parsed):
    assert parse_origin(text) == parsed


@given(LOOSE_TEXT)
def test_reading_a_requests_origin_never_raises_and_is_exact(text):
    parsed = parse_origin(text)
    if parsed is not None:
        assert OriginPattern(*parsed).text == text


@pytest.mark.parametrize(
    ("permitted_texts", "origin", "is_matched"),
    [
        (["https://a.com"], "https://a.com", True),
        (["https://a.com"], "http://a.com", False),
        (["https://a.com"], "https://a.com:8443", False),
        (["https://a.com"], "https://a.com:443", False),
        (["https://a.com"], "https://A.com", False),
        (["https://a.com"], "https://a.com.evil.com", False),
        (["https://a.com"], "https://evila.com", False),
        (["https://a.com"], "https://b.a.com", False),
        (["https://*.a.com"], "https://b.a.com", True),
        (["https://*.a.com"], "https://d.c.b.a.com", True),
        (["https://*.a.com"], "https://a.com", False),
        (["https://*.a.com"], "https://.a.com", False),
        (["https://*.a.com"], "https://evila.com", False),
        (["https://*.a.com"], "http://b.a.com", False),
        (["https://*.a.com"], "https://b.a.com:8443", False),
        (["https://*.a.com"], "https://b.a.com/.a.com", False),
        (["https://*.a.com"], "https://evil.com#.a.com", False),
        (["https://*.a.com:8443"], "https://b.a.com:8443", True),
        (["https://*.a.com:8443", "https://*.a.com"], "https://b.a.com", True),
        (["http://localhost:*"], "http://localhost", True),
        (["http://localhost:*"], "http://localhost:3000", True),
        (["http://localhost:*"], "http://localhost:80", False),
        (["http://localhost:*"], "http://localhost:99999", False),
        (["https://*.a.com:*"], "https://b.a.com:1", True),
        (["https://a.com"], "null", False),
        ([], "https://a.com", False),
        (["https://a.com"], "", False),
    ],
)
def test_matching_is_exact_and_echoes_the_origin(permitted_texts, origin, is_matched):
    origin_set = OriginSet(patterns(*permitted_texts))
    assert origin_set.match(origin) == (origin if is_matched else None)


@pytest.mark.parametrize(
    "origin", ["https://a.com", "null", "", pytest.param("x" * 10_000, id="long")]
)
def test_the_star_answers_a_star_to_everyone(origin):
    origin_set = OriginSet(patterns("https://a.com", "*"))
    assert origin_set.any
    assert origin_set.match(origin) == "*"


def test_an_endless_origin_matches_nothing():
    origin_set = OriginSet(patterns("https://*.a.com"))
    assert origin_set.match("https://" + "b." * 5_000_000 + "a.com") is None


SCHEMES = st.sampled_from(["http", "https", "capacitor"])
HOSTS = st.lists(st.sampled_from("abx"), min_size=1, max_size=4).map(".".join) | st.sampled_from(
    ["[::1]", "127.0.0.1"]
)
PORTS = st.sampled_from([None, 81, 8443])
ORIGINS = st.builds(OriginPattern, SCHEMES, HOSTS, PORTS)
PATTERNS = st.builds(
    OriginPattern, SCHEMES, HOSTS, PORTS | st.just("*"), wildcard=st.booleans()
).filter(lambda pattern: not (pattern.wildcard and not pattern.host[-1].isalpha()))


def naively_matches(pattern: OriginPattern, origin: OriginPattern) -> bool:
    labels, wanted = origin.host.split("."), pattern.host.split(".")
    if pattern.wildcard:
        same_host = len(labels) > len(wanted) and labels[-len(wanted) :] == wanted
    else:
        same_host = labels == wanted
    same_port = pattern.port == "*" or pattern.port == origin.port
    return pattern.scheme == origin.scheme and same_host and same_port


@given(st.lists(PATTERNS, max_size=8), st.lists(ORIGINS, min_size=1, max_size=8))
def test_the_set_agrees_with_naive_matching(some_patterns, some_origins):
    origin_set = OriginSet(some_patterns)
    for origin in some_origins:
        expected = any(naively_matches(pattern, origin) for pattern in some_patterns)
        assert (origin_set.match(origin.text) is not None) == expected


def test_many_exact_origins_are_one_look_up():
    texts = [f"https://{a}-{b}.example.com" for a, b in itertools.product(range(100), range(50))]
    origin_set = OriginSet(patterns(*texts))
    assert all(origin_set.match(text) == text for text in texts)
    assert origin_set.match("https://100-0.example.com") is None
