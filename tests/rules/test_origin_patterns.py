"""All mistakes of a pattern at once, and the grammar against a naive oracle."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apiguard.errors import OriginError
from apiguard.rules import origin_patterns, origins
from apiguard.rules.origin_mistakes import MISTAKES
from apiguard.rules.origin_patterns import parse_pattern, pattern_errors
from apiguard.rules.origins import OriginSet

from .origin_oracle import is_allowed, read


@pytest.mark.parametrize(
    ("text", "codes", "suggestion"),
    [
        pytest.param("https://example.com", [], None, id="none"),
        pytest.param("*", [], None, id="none of the star"),
        pytest.param(
            "HTTPS://me:pw@Example.com:443/path?q",
            ["upper_case", "path", "user_info", "default_port"],
            "https://example.com",
            id="four that can be mended",
        ),
        pytest.param(
            " example.com./ ",
            ["white_space", "no_scheme", "path", "bad_label"],
            "https://example.com",
            id="four others",
        ),
        pytest.param(
            "FTP://my_app.Example.com:99999/",
            ["upper_case", "unknown_scheme", "path", "bad_label", "bad_port"],
            None,
            id="what cannot be mended does not hide the rest",
        ),
        pytest.param(
            "*://*.*.example.com:0443",
            ["wildcard_position", "bad_port"],
            None,
            id="a scheme of any kind",
        ),
        pytest.param(
            "https://*.127.0.0.1:080", ["wildcard_ip", "bad_port"], None, id="below an address"
        ),
        pytest.param(
            "http://B\u00fccher.example:80/",
            ["non_ascii", "path", "default_port"],
            "http://xn--bcher-kva.example",
            id="an international name",
        ),
        pytest.param("null", ["null_origin"], None, id="null"),
        pytest.param("https://a.com, https://B.com", ["several_origins"], None, id="two"),
    ],
)
def test_everything_that_is_wrong_is_reported_at_once(text, codes, suggestion):
    errors = pattern_errors(text)
    assert [error.code for error in errors] == codes
    assert {error.suggestion for error in errors} <= {suggestion}
    assert {error.value for error in errors} <= {text}
    assert all(error.reason and error.hint for error in errors)


@pytest.mark.parametrize(
    "host", ["stra\u00dfe.de", "\u03c3\u03bf\u03c6\u03cc\u03c2.gr", "a\u200db.example", "\u1e9e.de"]
)
def test_a_name_that_browsers_read_otherwise_than_python_gets_no_suggestion(host):
    # "straße.de" is xn--strae-oqa.de to browsers: "strasse.de" may be somebody else's.
    (error,) = pattern_errors(f"https://{host}")
    assert (error.code, error.suggestion) == ("non_ascii", None)


def test_every_code_in_the_catalogue_is_used():
    sources = [inspect.getsource(module) for module in (origin_patterns, origins)]
    unused = [code for code in MISTAKES if all(f'"{code}"' not in source for source in sources)]
    assert unused == []


# -- the oracle -------------------------------------------------------------------

SCHEMES = st.sampled_from(["http", "https", "tauri", "moz-extension", "HTTPS", "ftp", "file", ""])
LABELS = st.sampled_from(
    ["a", "b", "com", "evil", "a-b", "-a", "a_b", "A", "", "1", "xn--a", "0x1"]
)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
ADDRESSES = st.sampled_from(
    [
        *("127.0.0.1", "127.1", "1.2.3.256", "1.2.3.04", "[::1]", "[0::1]", "[::1", "[1::2::3]"),
        *("[::ffff:102:304]", "[::ffff:1.2.3.4]", "[1:2:3:4:5:6:7:8]"),
        *("[1:0:0:2:0:0:0:3]", "[1:0:0:2::3]"),
    ]
)
HOSTS = st.one_of(NAMES, ADDRESSES)
STARS = st.sampled_from(["", "", "*.", "*", "*.*."])
PORTS = st.sampled_from(["", "", ":80", ":443", ":8443", ":*", ":0", ":65536", ":080", ":"])
TAILS = st.sampled_from(["", "", "", "", "/", "#a", "?a", ".", " ", "@evil.com"])
TEXTS = st.one_of(
    st.builds("{}://{}{}{}{}".format, SCHEMES, STARS, HOSTS, PORTS, TAILS),
    st.text(alphabet="htps:/*.[]@?#a1-0xf", max_size=24),
    st.sampled_from(["*", "null", "", "https://a.com.evil.com", "https://evila.com"]),
)


@given(TEXTS)
@example("https://*.a:*")
def test_what_is_a_pattern_agrees_with_the_oracle(text):
    try:
        accepted = parse_pattern(text).text == text
    except OriginError:
        accepted = False
    assert accepted == (text == "*" or read(text) is not None)


@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, min_size=1, max_size=6))
def test_the_matcher_agrees_with_the_oracle_on_random_policies(patterns, requested):
    origin_set = OriginSet([parse_pattern(text) for text in patterns if not pattern_errors(text)])
    for origin in requested:
        answer = origin_set.match(origin)
        assert (answer is not None) == is_allowed(patterns, origin)
        assert answer in (None, "*" if "*" in patterns else origin)


@given(TEXTS)
def test_a_suggestion_is_a_pattern_and_the_first_error_is_the_one_that_is_raised(text):
    errors = pattern_errors(text)
    if not errors:
        assert parse_pattern(text).text == text
        return
    with pytest.raises(OriginError) as caught:
        parse_pattern(text)
    assert caught.value == errors[0]
    assert len({error.suggestion for error in errors}) == 1
    if errors[0].suggestion is not None:
        assert pattern_errors(errors[0].suggestion) == []


LABELS = st.text("ab0-", min_size=1, max_size=3) | st.sampled_from(["*", "0x1", "a" * 64, "com"])
NEARLY_ORDINARY = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https", "HTTPS", "ftp", "tauri"]),
    st.sampled_from(["", "*.", "**."]),
    st.lists(LABELS, min_size=0, max_size=4).map(".".join)
    | st.sampled_from(["127.0.0.1", "[::1]"]),
    st.sampled_from(["", ":", ":80", ":443", ":8443", ":08", ":65535", ":65536", ":*", "/", "\n"]),
)


@given(NEARLY_ORDINARY)
@example(f"https://{'.'.join(['a' * 63] * 3 + ['a' * 61])}")
@example(f"https://{'.'.join(['a' * 63] * 3 + ['a' * 62])}")
def test_an_ordinary_pattern_is_read_as_if_it_were_looked_at_closely(text):
    def outcome(read_it):
        try:
            return read_it(text)
        except origin_patterns._Mistake as mistake:
            return mistake.args, mistake.mended, mistake.stand_in

    assert outcome(origin_patterns._read) == outcome(origin_patterns._read_closely)
