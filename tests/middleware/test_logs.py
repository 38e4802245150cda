"""No value that a request brings breaks a log into lines; logged to a real file."""

from __future__ import annotations

import copy
import logging
import logging.config
import re
from contextlib import contextmanager

import pytest
from django.conf import settings
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apiguard.request.request_id import OneLineFilter
from tests.examples import examples
from tests.request.site import ALLOWED, DOORS, Call, Caller, cors, guarded, issuer, route, token

FORGED = "INFO forged [id] line"
LINE = re.compile(r"(?:INFO|WARNING|ERROR) [\w.]+ \[[A-Za-z0-9._-]*\] ")
BREAKS = re.compile("[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")

# What Latin-1 headers can hold, line ends among it, as no server lets through.
hostile = st.text(st.characters(max_codepoint=0xFF), max_size=30) | st.sampled_from(
    [f"a\r\n{FORGED}", f"a\n{FORGED}", f"a\r{FORGED}", f"a\x85{FORGED}", "\x1b[2J", "\x00"]
)
HEADERS = ["X-Request-ID", "Origin", "X-API-Key", "Authorization", "traceparent", "Accept", "Host"]


@contextmanager
def logging_of_the_site(path, *filters):
    """The reference site's own way of logging, into a file."""
    config = copy.deepcopy(settings.LOGGING)
    config["handlers"] = {
        "file": {
            "class": "logging.FileHandler",
            "filename": str(path),
            "filters": list(filters),
            "formatter": "line",
            "encoding": "utf-8",
        }
    }
    config["root"] = {"handlers": ["file"], "level": "INFO"}
    logging.config.dictConfig(config)
    try:
        yield
    finally:
        logging.config.dictConfig(settings.LOGGING)


def lines_of(path):
    with path.open(encoding="utf-8", newline="") as log:
        text = log.read()
    return text.removesuffix("\n").split("\n")


@pytest.mark.parametrize("door", DOORS)
@hypothesis_settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sent=st.dictionaries(st.sampled_from(HEADERS), hostile, max_size=4), path=hostile)
@example(sent={"Origin": f"https://a\r\n{FORGED}"}, path=f"\r\n{FORGED}")
@example(sent={"Accept": f"\n{FORGED}"}, path=f"\u2028{FORGED}")
def test_every_line_of_the_log_is_one_that_was_meant(door, tmp_path, sent, path):
    path_of_log = tmp_path / "log"
    path_of_log.unlink(missing_ok=True)
    policy = cors(ALLOWED)
    row = route(cors_policy=policy[0], access="credentials", produces=["application/json"])
    with (
        guarded(row, *policy),
        logging_of_the_site(path_of_log, "request_id", "one_line"),
    ):
        # As Django decodes it from the request line.
        call = Call(path="/api/" + "".join(f"%{byte:02x}" for byte in path.encode()), headers=sent)
        response = DOORS[door](call)
    assert response.status_code < 500
    lines = lines_of(path_of_log)
    assert [line for line in lines if not LINE.match(line) or BREAKS.search(line)] == []
    assert any(f"[{response.headers['X-Request-ID']}]" in line for line in lines)


SAID = [
    pytest.param({"Origin": f"https://a\r\n{FORGED}"}, True, id="origin"),
    pytest.param({"Accept": f"a/b\n{FORGED}"}, True, id="accept"),
    pytest.param({"X-API-Key": f"ag\x85{FORGED}"}, True, id="key"),
    pytest.param({"X-API-Key": f"ag\x85{FORGED}"}, False, id="key, DRF alone"),
    pytest.param({"sub": f"a\u2028{FORGED}"}, True, id="principal"),
    pytest.param({"sub": f"a\u2028{FORGED}"}, False, id="principal, DRF alone"),
]


@pytest.mark.parametrize(("sent", "middleware"), SAID)
def test_what_is_told_of_a_refusal_is_one_line_without_any_filter(sent, middleware, tmp_path):
    headers = dict(sent)
    if "sub" in headers:
        headers = {"Authorization": f"Bearer {token(sub=headers['sub'], scope='')}"}
    policy, path = cors(ALLOWED), tmp_path / "log"
    row = route(
        "/api/drf/",
        name=f"a\r\n{FORGED}",
        cors_policy=policy[0],
        produces=["application/json"],
        access="credentials",
        required_scopes=["orders:read"],
    )
    with (
        guarded(row, *policy, issuer(), middleware=middleware),
        logging_of_the_site(path, "request_id"),
    ):
        Call(path="/api/drf/open", headers=headers).wsgi()
    told = [line for line in lines_of(path) if " apiguard.refusals " in line]
    assert len(told) == 1
    assert not BREAKS.search(told[0])
    assert FORGED not in [line.strip() for line in lines_of(path)]


def record(message, *arguments):
    return logging.LogRecord("a", logging.INFO, "a.py", 1, message, arguments, None)


@pytest.mark.parametrize(
    ("message", "arguments", "expected"),
    [
        pytest.param("a %s", ("b",), "a b", id="nothing to do"),
        pytest.param("a %s", ("b\r\nc",), "a b\\r\\nc", id="an argument"),
        pytest.param("a\nb", (), "a\\nb", id="the message"),
        pytest.param("a\tb", (), "a\tb", id="a tab stays"),
        pytest.param("%s", ("\u2028\x85\x1b",), "\\u2028\\x85\\x1b", id="others that break"),
        pytest.param("100%\n", (), "100%\\n", id="a sign that formats nothing"),
        pytest.param("ä 🍵", (), "ä 🍵", id="any script"),
    ],
)
def test_a_message_becomes_one_line(message, arguments, expected):
    one = record(message, *arguments)
    assert OneLineFilter().filter(one)
    assert one.getMessage() == expected


@pytest.mark.parametrize(("message", "arguments"), [("%s %s", ("a",)), ("%d", ("a",))])
def test_a_mistake_of_who_logs_is_not_the_request_s(message, arguments):
    assert OneLineFilter().filter(record(message, *arguments))


def test_a_caller_that_is_admitted_is_not_named_in_the_log(tmp_path):
    caller, path = Caller(), tmp_path / "log"
    with guarded(route(), *caller.rows), logging_of_the_site(path, "request_id"):
        Call(headers={"X-API-Key": caller.text}).wsgi()
    assert caller.text not in path.read_text()
