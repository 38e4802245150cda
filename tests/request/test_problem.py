from __future__ import annotations

import json

import pytest

from apiguard.request.problem import encode, error_code, problem, title


@pytest.mark.parametrize(
    ("status", "phrase", "code"),
    [
        (400, "Bad Request", "invalid_request"),
        (401, "Unauthorized", "unauthorized"),
        (403, "Forbidden", "forbidden"),
        (404, "Not Found", "not_found"),
        (405, "Method Not Allowed", "method_not_allowed"),
        (413, "Content Too Large", "payload_too_large"),
        (416, "Range Not Satisfiable", "range_not_satisfiable"),
        (418, "I'm a Teapot", "i_m_a_teapot"),
        (422, "Unprocessable Content", "unprocessable_content"),
        (429, "Too Many Requests", "too_many_requests"),
        (500, "Internal Server Error", "internal_error"),
        (503, "Service Unavailable", "service_unavailable"),
        (599, "Error", "error"),
    ],
)
def test_a_status_has_a_title_and_a_code(status, phrase, code):
    assert (title(status), error_code(status)) == (phrase, code)


def test_a_problem_has_its_members_in_this_order():
    members = problem(429, "e", "d", "i", retry_after=3, violated=["a", "b"], errors={"f": ["x"]})
    assert list(members.items()) == [
        ("type", "https://iana.org/assignments/http-problem-types#quota-exceeded"),
        ("title", "Too Many Requests"),
        ("status", 429),
        ("detail", "d"),
        ("error", "e"),
        ("message", "d"),
        ("requestId", "i"),
        ("retryAfter", 3),
        ("violated-policies", ["a", "b"]),
        ("errors", {"f": ["x"]}),
    ]


def test_the_simple_format_leaves_out_what_the_rfc_added():
    members = problem(429, "e", "d", "i", error_format="simple", retry_after=3, violated=["a"])
    assert members == {"error": "e", "message": "d", "requestId": "i", "retryAfter": 3}


@pytest.mark.parametrize("text", ["ä", '"', "\u2028", "\ud800", "\0"])
def test_any_text_can_be_encoded(text):
    assert json.loads(encode({"detail": text}))["detail"] in (text, "?")
