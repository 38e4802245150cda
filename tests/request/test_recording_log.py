"""One log line for a refusal, whatever the request put into it."""

from __future__ import annotations

import logging

import pytest

from apiguard.request.recording import log_refusal


def logged(caplog, **fields):
    given = {
        "route": "api",
        "outcome": "forbidden",
        "reason": "why",
        "request_id": "r-1",
        "principal": "client:7",
        "enforced": True,
    }
    with caplog.at_level(logging.INFO, "apiguard.refusals"):
        log_refusal(**{**given, **fields})
    return caplog.records[-1]


@pytest.mark.parametrize(
    ("enforced", "begins"),
    [
        pytest.param(True, "Refused forbidden on route 'api': why (request r-1", id="enforced"),
        pytest.param(False, "Would have refused", id="observed"),
    ],
)
def test_a_refusal_says_what_where_and_why(caplog, enforced, begins):
    record = logged(caplog, enforced=enforced)
    assert record.getMessage().startswith(begins)
    assert record.apiguard_enforced is enforced
    assert (record.apiguard_route, record.apiguard_outcome) == ("api", "forbidden")


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\u2028b", "é" * 9999])
def test_nothing_from_a_request_breaks_the_log_into_lines(caplog, text):
    message = logged(caplog, reason=text, principal=text).getMessage()
    assert message.isprintable()
    assert message.isascii()
    assert len(message) < 1000
