"""traceparent, strictly as W3C Trace Context says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.rules.trace import Trace, parse_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(GOOD, id="sampled"),
        pytest.param(f"00-{TRACE}-{SPAN}-00", id="not sampled"),
        pytest.param(f"00-{TRACE}-{SPAN}-ff", id="flags that nobody knows"),
        pytest.param(f"01-{TRACE}-{SPAN}-01", id="a later version"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", id="with more members"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01-", id="with an empty one"),
        pytest.param(f"fe-{TRACE}-{SPAN}-01-" + "x" * 100_000, id="with very much more"),
    ],
)
def test_a_traceparent_names_its_trace_and_its_span(value):
    assert parse_traceparent(value) == Trace(TRACE, SPAN)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(f"ff-{TRACE}-{SPAN}-01", id="the version that is none"),
        pytest.param(f"0-{TRACE}-{SPAN}-01", id="a version of one digit"),
        pytest.param(f"0x-{TRACE}-{SPAN}-01", id="a version that is no number"),
        pytest.param(f"{GOOD}-more", id="version 00 with more"),
        pytest.param(f"{GOOD}-", id="version 00 with a dash"),
        pytest.param(f"{GOOD}0", id="version 00, too long"),
        pytest.param(f"{GOOD}\n", id="a line end"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01.more", id="more without a dash"),
        pytest.param(f"cc-{TRACE}-{SPAN}-01\n", id="a later version with a line end"),
        pytest.param(GOOD[:-1], id="flags of one digit"),
        pytest.param(GOOD.upper(), id="upper case"),
        pytest.param(f"00-{'0' * 32}-{SPAN}-01", id="a trace of zeros"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="a span of zeros"),
        pytest.param(f"00-{TRACE[:-1]}-{SPAN}-01", id="a short trace"),
        pytest.param(f"00-{TRACE}0-{SPAN}-01", id="a long trace"),
        pytest.param(f"00-{TRACE}-{SPAN[:-1]}-01", id="a short span"),
        pytest.param(f"00_{TRACE}_{SPAN}_01", id="other dashes"),
        pytest.param(f"00-{TRACE[:-1]}g-{SPAN}-01", id="no hex digit"),
        pytest.param(f"00-{TRACE[:-1]}\u0663-{SPAN}-01", id="a digit of another script"),
        pytest.param(f" {GOOD}", id="a blank before"),
        pytest.param(f"{GOOD},{GOOD}", id="sent twice"),
    ],
)
def test_what_the_standard_ignores_names_nothing(value):
    assert parse_traceparent(value) is None


pieces = st.sampled_from(["00", "01", "ff", "-", TRACE, SPAN, "0" * 32, "0" * 16, "\n", ",", "A"])


@given(st.text() | st.lists(pieces, max_size=12).map("".join))
def test_whatever_comes_is_two_ids_or_nothing(value):
    found = parse_traceparent(value)
    if found is not None:
        assert re.fullmatch("[0-9a-f]{32}", found.trace_id)
        assert re.fullmatch("[0-9a-f]{16}", found.span_id)
        assert set(found.trace_id) != {"0"} != set(found.span_id)


@given(
    st.integers(0, 0xFE),
    st.integers(1, (1 << 128) - 1),
    st.integers(1, (1 << 64) - 1),
    st.integers(0, 0xFF),
)
def test_every_well_formed_one_is_read(version, trace, span, flags):
    value = f"{version:02x}-{trace:032x}-{span:016x}-{flags:02x}"
    assert parse_traceparent(value) == (f"{trace:032x}", f"{span:016x}")
