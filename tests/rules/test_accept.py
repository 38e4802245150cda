"""Accept against what is produced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules.accept import prefers_html, satisfies
from apiguard.rules.media import MediaType, parse_media_range

CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"
HOSTILE = st.text(max_size=60) | st.text(alphabet='a/*;=q01., "\\\t+', max_size=60)


def ranges(*texts: str) -> list[MediaType]:
    return [parse_media_range(text) for text in texts]


@pytest.mark.parametrize(
    ("accept", "produces", "expected"),
    [
        ("", ["application/json"], True),
        ("text/html", [], True),
        ("application/json", ["application/json"], True),
        ("APPLICATION/JSON", ["application/json"], True),
        ("text/html", ["application/json"], False),
        ("text/html, application/json", ["application/json"], True),
        ("*/*", ["application/json"], True),
        ("application/*", ["application/json"], True),
        ("text/*", ["application/json"], False),
        ("application/json;q=0", ["application/json"], False),
        ("application/json;q=0.000", ["application/json"], False),
        ("application/json;Q=0", ["application/json"], False),
        ("application/json;q=0.001", ["application/json"], True),
        ("*/*, application/json;q=0", ["application/json"], False),
        ("application/json;q=0, */*", ["application/json", "text/html"], True),
        ("application/*;q=0, application/json", ["application/json"], True),
        ("*/*;q=0", ["application/json"], False),
        ("*/*;q=0, application/*;q=0.1", ["application/json"], True),
        ("application/json;q=0, application/json", ["application/json"], True),
        ("application/json; version=1", ["application/json"], True),
        ("application/json; indent=4; q=0.5", ["application/json"], True),
        ("application/json;v=2", ["application/json;v=1"], False),
        ("application/json;v=1;q=0, application/json", ["application/json;v=1"], False),
        ("application/json;v=1, application/json;q=0", ["application/json;v=1"], True),
        ("text/plain;charset=UTF-8", ["text/plain;charset=utf-8"], True),
        ("garbage", ["application/json"], True),
        (",,, ,", ["application/json"], True),
        ("garbage, text/html", ["application/json"], False),
        ("application/json;q=2", ["application/json"], True),
        ("text/html, application/json;q=x", ["application/json"], False),
        ("text/html, application/json;q=-1", ["application/json"], False),
        ("*/json", ["application/json"], True),
        pytest.param(JAVA, ["application/json"], True, id="Java"),
        pytest.param(CHROME, ["application/json"], True, id="Chrome"),
        ('text/html;a="x, application/json"', ["application/json"], False),
        ('text/html, text/css;a="x, application/json', ["application/json"], False),
        pytest.param(
            "text/html, " * 63 + "application/json", ["application/json"], True, id="64 elements"
        ),
        pytest.param(
            "text/html, " * 64 + "application/json", ["application/json"], False, id="65 elements"
        ),
        pytest.param("text/html" + " " * 4096, ["application/json"], True, id="too long"),
        ("image/png", ["image/*"], True),
        ("application/*+json", ["application/a+json"], True),
        ("application/*+json, text/html", ["application/a+json"], False),
        ("application/*+json;q=0, */*", ["application/a+json"], True),
    ],
)
def test_something_produced_is_acceptable_or_nothing_is(accept, produces, expected):
    assert satisfies(accept, ranges(*produces)) is expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(CHROME, True, id="Chrome"),
        pytest.param(JAVA, True, id="Java"),
        ("text/html", True),
        ("application/xhtml+xml", True),
        ("text/html, application/json;q=0.9", True),
        ("text/html;q=0.9, application/json", False),
        ("text/html, application/json", False),
        ("text/html;q=0.5, application/problem+json", False),
        ("text/html, */*", False),
        ("text/html;q=0", False),
        ("text/*", False),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("garbage", False),
        pytest.param("text/html" + " " * 4096, False, id="too long"),
    ],
)
def test_html_is_preferred_only_where_it_is_named_and_above_json(accept, expected):
    assert prefers_html(accept) is expected


@given(HOSTILE)
def test_judging_accept_never_raises(accept):
    assert satisfies(accept, ranges("application/json")) in (True, False)
    assert prefers_html(accept) in (True, False)


@pytest.mark.parametrize(
    "accept",
    [
        pytest.param('"\\' * 2048, id="quotes left open and escaped"),
        pytest.param('a/b;c="' * 585, id="parameters left open"),
        pytest.param("a/b;" * 1024, id="empty parameters"),
        pytest.param("," * 4096, id="empty elements"),
        pytest.param('"' * 4095, id="quotes"),
    ],
)
def test_hostile_accept_headers_come_to_an_end(accept):
    assert satisfies(accept, ranges("a/b"))
