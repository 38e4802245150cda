"""Media types that staff type, and Content-Type against what is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.errors import MediaTypeError
from apiguard.rules.media import (
    MediaType,
    accepted,
    closeness,
    essence_of,
    parse_content_type,
    parse_essence_range,
    parse_media_range,
    parse_media_type,
)

HOSTILE = st.text(max_size=60) | st.text(alphabet='a/*;=q01., "\\\t+', max_size=60)


def ranges(*texts: str) -> list[MediaType]:
    return [parse_media_range(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("application/json", "application/json"),
        ("Application/JSON", "application/json"),
        ("application/vnd.api+json", "application/vnd.api+json"),
        ("text/plain; Charset=UTF-8", "text/plain;charset=UTF-8"),
        ('text/plain;charset="utf-8"', "text/plain;charset=utf-8"),
        ('a/b;c="d \\" e"', 'a/b;c="d \\" e"'),
        ('a/b;c=""', 'a/b;c=""'),
        ("text/plain;", "text/plain"),
    ],
)
def test_a_media_type_is_read_and_written_canonically(text, canonical):
    assert parse_media_type(text).text == canonical
    assert parse_media_type(canonical).text == canonical


@pytest.mark.parametrize(
    ("text", "code", "suggestion"),
    [
        ("", "empty", None),
        pytest.param("a/" + "b" * 300, "too_long", None, id="too long"),
        ("json", "malformed", "application/json"),
        ("HTML", "malformed", "text/html"),
        ("application / json", "malformed", "application/json"),
        ("text / html;q=1", "malformed", "text/html"),
        ("application/json, text/html", "malformed", None),
        ("application/", "malformed", None),
        ("text/plain;charset", "malformed", None),
        ("text/plain;charset = utf-8", "malformed", "text/plain;charset=utf-8"),
        ('text/plain;a="b', "malformed", None),
        ("text/plain;a=1;A=2", "malformed", None),
        ("text/plain\n", "malformed", "text/plain"),
        ('text/plain;a="\n"', "malformed", 'text/plain;a=""'),
        ("*", "malformed", None),
        ("*/json", "wildcard_position", None),
        ("*/*+json", "wildcard_position", None),
        ("application/*+", "wildcard_position", None),
        ("application/*+json+zip", "wildcard_position", None),
        ("application/*+*", "wildcard_position", None),
        ("application/x*+json", "wildcard_position", None),
        ("application/*+json", "wildcard", None),
        ("te*t/plain", "wildcard_position", None),
        ("text/plain;q=0.5", "weight", "text/plain"),
        ("*/*", "wildcard", None),
        ("text/*", "wildcard", None),
    ],
)
def test_a_wrong_media_type_is_refused(text, code, suggestion):
    with pytest.raises(MediaTypeError) as caught:
        parse_media_type(text)
    assert (caught.value.code, caught.value.suggestion) == (code, suggestion)


@pytest.mark.parametrize("text", ["*/*", "text/*", "application/json", "application/*+json"])
def test_ranges_are_read_where_they_are_allowed(text):
    assert parse_media_range(text).essence == text


@given(HOSTILE)
def test_a_media_type_is_canonical_or_refused(text):
    try:
        media = parse_media_type(text)
    except MediaTypeError as error:
        suggestion = error.suggestion
        assert suggestion is None or parse_media_type(suggestion).text == suggestion
    else:
        assert parse_media_type(media.text) == media


@pytest.mark.parametrize(
    ("header", "media"),
    [
        ("application/json", MediaType("application", "json")),
        (" TEXT/Plain ; CHARSET=x ", MediaType("text", "plain", (("charset", "x"),))),
        (
            'multipart/form-data; boundary="a b;c,d"',
            MediaType("multipart", "form-data", (("boundary", "a b;c,d"),)),
        ),
        ("application/json;;", MediaType("application", "json")),
        ("", None),
        ("json", None),
        ("*/*", None),
        ("application/*", None),
        ("application/json, text/plain", None),
        ("application/json; charset", None),
        ("text/plain; charset=utf-8; charset=utf-16", None),
        pytest.param("text/plain; a=" + "b" * 512, None, id="too long"),
        ("text/plain\x00", None),
    ],
)
def test_a_requests_content_type_is_read_or_malformed(header, media):
    assert parse_content_type(header) == media


@given(HOSTILE)
def test_reading_a_content_type_never_raises(header):
    media = parse_content_type(header)
    assert media is None or parse_media_type(media.text) == media


@pytest.mark.parametrize(
    ("content_type", "wanted", "expected"),
    [
        ("application/json", ["application/json"], True),
        ("application/json; charset=utf-8", ["application/json"], True),
        ("multipart/form-data; boundary=x", ["multipart/form-data"], True),
        ("APPLICATION/JSON", ["application/json"], True),
        ("text/plain", ["application/json"], False),
        ("text/plain", ["application/json", "text/*"], True),
        ("image/png", ["*/*"], True),
        ("garbage", ["*/*"], False),
        ("", ["*/*"], False),
        ("garbage", [], True),
        ("text/plain;charset=UTF-8", ["text/plain;charset=utf-8"], True),
        ("text/plain;charset=latin-1", ["text/plain;charset=utf-8"], False),
        ("text/plain", ["text/plain;charset=utf-8"], False),
        ("a/b;version=A", ["a/b;version=a"], False),
        ("application/jsonx", ["application/json"], False),
        ("application/vnd.api+json", ["application/json"], False),
        ("application/vnd.api+json", ["application/*+json"], True),
        ("application/VND.API+JSON; charset=utf-8", ["application/*+json"], True),
        ("application/a+b+json", ["application/*+json"], True),
        ("application/json", ["application/*+json"], False),
        ("application/+json", ["application/*+json"], False),
        ("application/vnd.api+jsonp", ["application/*+json"], False),
        ("application/json+x", ["application/*+json"], False),
        ("model/gltf+json", ["application/*+json"], False),
        ("application/json; charset=utf8", ["application/json;charset=utf-8"], True),
        ("application/json", ["application/json;charset=utf-8"], True),
        ("application/a+json", ["application/*+json;charset=utf-8"], True),
        ("application/json; charset=latin-1", ["application/json;charset=utf-8"], False),
        ("application/json; charset=utf-16", ["application/json"], True),
        ("text/json", ["text/json;charset=utf-8"], False),
        ("multipart/form-data", ["multipart/form-data"], True),
        ("multipart/mixed; boundary=x", ["multipart/form-data"], False),
    ],
)
def test_a_body_is_accepted_by_type_and_the_rules_parameters(content_type, wanted, expected):
    assert accepted(content_type, ranges(*wanted)) is expected


def test_a_range_of_responses_has_no_parameters():
    with pytest.raises(MediaTypeError) as caught:
        parse_essence_range("text/html; charset=utf-8")
    assert (caught.value.code, caught.value.suggestion) == ("parameters", "text/html")
    assert parse_essence_range("Application/*+JSON").text == "application/*+json"


@pytest.mark.parametrize(
    ("content_type", "essence"),
    [
        ("text/html", "text/html"),
        ("Text/HTML; charset=utf-8", "text/html"),
        ("text/html ;charset", "text/html"),
        (" text/html;;;", "text/html"),
        ('text/html; a="', "text/html"),
        pytest.param("text/html; a=" + "b" * 600, "text/html", id="long"),
        ("", None),
        ("html", None),
        ("text/html, text/plain", None),
        ("text/html foo", None),
        (";text/html", None),
    ],
)
def test_a_responses_type_is_read_as_browsers_read_it(content_type, essence):
    media = essence_of(content_type)
    assert (media.essence if media else None) == essence


@given(HOSTILE)
def test_reading_a_responses_type_never_raises(content_type):
    media = essence_of(content_type)
    assert media is None or media.essence == media.essence.lower()


def test_the_closer_of_two_ranges_is_the_more_specific():
    media = MediaType("application", "vnd.api+json")
    texts = ["text/*", "*/*", "application/*", "application/*+json", "application/vnd.api+json"]
    assert [closeness(wanted, media) for wanted in ranges(*texts)] == [0, 1, 2, 3, 4]
