"""A worker's word: made of what policy tells, and read back from whatever lies there."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.policy.status import PolicyStatus
from apiguard.telemetry.heartbeats import LONGEST_AGE, LONGEST_ERROR, Heartbeat, plain
from apiguard.telemetry.worker_registry import MAX_LENGTH

FULL = Heartbeat(418, "ab12", 0.25, 0.6, 40.0, 1.5, "OperationalError: away", 2)


def test_a_report_reads_as_it_was_written():
    assert Heartbeat.parse(FULL.text()) == FULL
    assert Heartbeat.parse(Heartbeat().text()) == Heartbeat()


def test_moments_become_ages(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    status = PolicyStatus(418, "ab12", 999.5, 990.0, 0.6, 960.0, "OperationalError: away", 2)
    assert Heartbeat.from_status(status, 1.5) == Heartbeat(
        418, "ab12", 0.5, 0.6, 40.0, 1.5, "OperationalError: away", 2
    )


def test_a_clock_that_was_set_back_makes_no_negative_age(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert Heartbeat.from_status(PolicyStatus(refreshed_at=1060.0)).refreshed == 0


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("x", id="no JSON"),
        pytest.param("[1]", id="no object"),
        pytest.param("[" * MAX_LENGTH, id="deep"),
        pytest.param('{"a": "' + "b" * MAX_LENGTH + '"}', id="long"),
    ],
)
def test_what_is_no_report_is_none(text):
    assert Heartbeat.parse(text) is None


@pytest.mark.parametrize(
    ("member", "value", "read"),
    [
        pytest.param("revision", True, None, id="a revision that is a boolean"),
        pytest.param("revision", -1, None, id="a negative revision"),
        pytest.param("revision", 2**63, None, id="a revision too large"),
        pytest.param("refreshed", float("nan"), None, id="an age that is no number"),
        pytest.param("refreshed", float("inf"), None, id="an endless age"),
        pytest.param("failing", -1, None, id="an age in the future"),
        pytest.param("failing", LONGEST_AGE * 2, None, id="an age too large"),
        pytest.param("failing", "1", None, id="an age in words"),
        pytest.param("failing", 3, 3.0, id="a whole age"),
        pytest.param("error", ["a"], "", id="an error that is no text"),
        pytest.param("error", "a\r\nb\x1b[0m", "a??b?[0m", id="an error of several lines"),
        pytest.param("error", "\ud800", "?", id="half a letter"),
        pytest.param("error", "e" * 999, "e" * LONGEST_ERROR, id="a long error"),
        pytest.param("problems", None, 0, id="no number of problems"),
    ],
)
def test_a_wrong_member_is_left_out_and_the_others_are_read(member, value, read):
    text = json.dumps({**json.loads(FULL.text()), member: value})
    said = Heartbeat.parse(text)
    assert getattr(said, member) == read
    assert said.stamp == FULL.stamp


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
members = st.sampled_from(
    ["revision", "stamp", "refreshed", "delay", "failing", "error", "problems"]
)


@given(st.one_of(st.text(), st.dictionaries(members, anything).map(json.dumps)))
def test_whatever_is_read_never_raises_and_can_be_shown_and_sent_again(text):
    said = Heartbeat.parse(text)
    if said is not None:
        said.error.encode()
        assert Heartbeat.parse(said.text()) == said
        assert len(said.text().encode()) < MAX_LENGTH


@given(st.text() | st.integers() | st.none(), st.integers(0, 50))
def test_plain_text_is_one_short_line(value, length):
    shown = plain(value, length)
    assert len(shown) <= length
    assert shown == "" or shown.isprintable()
