"""Header policies on the desk: rows for all media types, and for some."""

from __future__ import annotations

import pytest

from apiguard.admin.headers import format_header
from apiguard.models import HeaderPolicy, ResponseHeader

from .pages import fields_of, url


def form_of(browser, policy):
    page = browser.get(url("headerpolicy_change", policy.pk)).content.decode()
    return fields_of(page)


def with_rows(fields, *rows):
    """The form with these (name, value, content types) rows more."""
    first = int(fields["headers-TOTAL_FORMS"])
    more = {"headers-TOTAL_FORMS": str(first + len(rows))}
    for number, (name, value, types) in enumerate(rows, first):
        more |= {
            f"headers-{number}-name": name,
            f"headers-{number}-value": value,
            f"headers-{number}-mode": "force",
            f"headers-{number}-condition": "always",
            f"headers-{number}-content_types": types,
            f"headers-{number}-policy": fields["headers-0-policy"],
        }
    return {**fields, **more}


def save(browser, policy, *rows):
    fields = with_rows(form_of(browser, policy), *rows)
    return browser.post(url("headerpolicy_change", policy.pk), fields)


def test_a_header_may_have_a_row_for_each_type(admin_client, headers):
    answer = save(
        admin_client, headers, ("X-Frame-Options", "SAMEORIGIN", "text/html\napplication/*+json")
    )
    assert answer.status_code == 302
    row = ResponseHeader.objects.get(value="SAMEORIGIN")
    assert row.content_types == ["text/html", "application/*+json"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param([("x-frame-options", "DENY", "")], "listed twice", id="for all types"),
        pytest.param(
            [("X-A", "1", "text/html"), ("x-a", "2", "text/html")], "listed twice", id="for one"
        ),
        pytest.param([("X-A", "1", "html")], "text/html", id="no type, and what it may be"),
        pytest.param([("X-A", "1", "text/html;charset=utf-8")], "parameters", id="parameters"),
        pytest.param([("X A", "1", "text/html")], "X-Frame-Options", id="no name"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(admin_client, headers, rows, words):
    answer = save(admin_client, headers, *rows)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert HeaderPolicy.objects.get().headers.count() == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"value": "1"}, "X-A: 1 (default)", id="default"),
        pytest.param({"value": "1", "mode": "force"}, "X-A: 1", id="force"),
        pytest.param({"mode": "remove"}, "without X-A", id="remove"),
        pytest.param(
            {"mode": "remove", "content_types": ["text/html"]}, "without X-A (text/html)", id="one"
        ),
        pytest.param(
            {"value": "1", "condition": "https", "content_types": ["a/b", "c/*"]},
            "X-A: 1 (default, https, a/b, c/*)",
            id="all of it",
        ),
    ],
)
def test_a_row_in_words(fields, words):
    assert format_header(ResponseHeader(name="X-A", **fields)) == words
