from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.errors import RateError
from apiguard.rules.rates import (
    AT_ONCE_PERIOD,
    MAX_AMOUNT,
    MAX_AT_ONCE,
    MAX_PERIOD,
    Rate,
    check_amount,
    check_cost,
    check_period,
    format_rate,
    parse_rate,
)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100 per minute", Rate(100, 60)),
        ("100/min", Rate(100, 60)),
        ("100/m", Rate(100, 60)),
        ("100 / minute", Rate(100, 60)),
        ("60/min", Rate(60, 60)),
        ("5 per 90 seconds", Rate(5, 90)),
        ("5/90s", Rate(5, 90)),
        ("1,000 per hour", Rate(1000, 3600)),
        ("1,000,000 per day", Rate(10**6, 86400)),
        ("10 per 2 minutes", Rate(10, 120)),
        ("1 per second", Rate(1, 1)),
        ("7 per week", Rate(7, 604800)),
        ("7 per 31 days", Rate(7, MAX_PERIOD)),
        ("  100  PER  Minute ", Rate(100, 60)),
        ("50000 per calendar day", Rate(50000, None, "day")),
        ("50,000 per calendar month", Rate(50000, None, "month")),
        ("1000000000/s", Rate(MAX_AMOUNT, 1)),
        ("10000 tokens per minute", Rate(10_000, 60, unit="tokens")),
        ("1,000 Tokens/min", Rate(1000, 60, unit="tokens")),
        ("5 content-bytes per calendar day", Rate(5, None, "day", "content-bytes")),
        ("100 requests per minute", Rate(100, 60)),
        ("1 request per minute", Rate(1, 60)),
        ("2 at once", Rate(2, AT_ONCE_PERIOD, at_once=True)),
        ("2 requests at once", Rate(2, AT_ONCE_PERIOD, at_once=True)),
        ("1,000 at once for 2 hours", Rate(1000, 7200, at_once=True)),
    ],
)
def test_rates_that_people_write_are_read(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_rate"),
        ("100", "bad_rate"),
        ("per minute", "bad_rate"),
        ("100 perminute", "bad_rate"),
        ("-1 per minute", "bad_rate"),
        ("1.5 per minute", "bad_rate"),
        ("1,00 per minute", "bad_rate"),
        ("1,0000 per minute", "bad_rate"),
        ("\u0661 per minute", "bad_rate"),
        ("100 per minute per hour", "bad_rate"),
        ("1" * 200 + " per minute", "bad_rate"),
        (None, "bad_rate"),
        ("5 per per minute", "bad_unit"),
        ("5 concurrent-requests per minute", "bad_unit"),
        ("5 tokens- per minute", "bad_unit"),
        (f"5 {'a' * 33} per minute", "bad_unit"),
        ("5 tokens at once", "bad_rate"),
        ("0 at once", "bad_amount"),
        ("10,001 at once", "bad_amount"),
        ("5 at once for 0 seconds", "bad_period"),
        ("5 at once for 1 month", "month_has_no_length"),
        (60, "bad_rate"),
        ("0 per minute", "bad_amount"),
        ("1,000,000,001 per minute", "bad_amount"),
        ("5 per 0 seconds", "bad_period"),
        ("5 per 32 days", "bad_period"),
        ("5 per 2678401 seconds", "bad_period"),
        ("5 per fortnight", "unknown_unit"),
        ("5 per calendar hour", "bad_calendar"),
        ("5 per calendar 2 months", "bad_calendar"),
        ("5 per month", "month_has_no_length"),
    ],
)
def test_what_cannot_be_counted_is_refused(text, code):
    with pytest.raises(RateError) as raised:
        parse_rate(text)
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("5000 per month", "5,000 per calendar month"),
        ("5 per minuet", "5 per minute"),
        ("5 per calendar week", "5 per calendar month"),
    ],
)
def test_a_near_miss_comes_with_what_would_be_accepted(text, suggestion):
    with pytest.raises(RateError) as raised:
        parse_rate(text)
    assert raised.value.suggestion == suggestion
    assert format_rate(parse_rate(suggestion)) == suggestion


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (Rate(100, 60), "100 per minute"),
        (Rate(1000, 3600), "1,000 per hour"),
        (Rate(5, 90), "5 per 90 seconds"),
        (Rate(10, 120), "10 per 2 minutes"),
        (Rate(1, 604800), "1 per week"),
        (Rate(1, 3 * 86400), "1 per 3 days"),
        (Rate(50000, None, "month"), "50,000 per calendar month"),
        (Rate(50000, None, "day", "tokens"), "50,000 tokens per calendar day"),
        (Rate(2, AT_ONCE_PERIOD, at_once=True), "2 at once"),
        (Rate(2, 3600, at_once=True), "2 at once for 1 hour"),
    ],
)
def test_a_rate_has_one_canonical_text(rate, text):
    assert format_rate(rate) == text


amounts, periods = st.integers(1, MAX_AMOUNT), st.integers(1, MAX_PERIOD)
units = st.sampled_from(["requests", "tokens", "content-bytes", "b2", "perhaps", "at-most"])
windows = st.builds(Rate, amounts, periods, unit=units)
quotas = st.builds(Rate, amounts, st.none(), st.sampled_from(["day", "month"]), units)
at_once = st.builds(Rate, st.integers(1, MAX_AT_ONCE), periods, at_once=st.just(True))


@given(windows | quotas | at_once)
def test_every_rate_is_read_back_from_its_text(rate):
    assert parse_rate(format_rate(rate)) == rate


AMOUNT = r"[0-9,]{1,30} ?([a-z-]{0,9} ?(/|per) ?[a-z0-9 ]{1,20}|at once( for [a-z0-9 ]{1,9})?)"


@given(st.text() | st.from_regex(AMOUNT, fullmatch=True))
def test_no_text_raises_anything_else(text):
    with suppress(RateError):
        rate = parse_rate(text)
        assert parse_rate(format_rate(rate)) == rate


@pytest.mark.parametrize("arguments", [(1, None, ""), (1, 60, "day"), (1, None, "week")])
def test_a_rate_has_either_a_period_or_a_calendar_unit(arguments):
    with pytest.raises(RateError):
        Rate(*arguments)


@pytest.mark.parametrize(
    ("check", "most"), [(check_amount, 10**9), (check_period, 2_678_400), (check_cost, 10**6)]
)
def test_bounds_are_inclusive_and_numbers_are_whole(check, most):
    assert check(1) == 1
    assert check(most) == most
    for value in (0, -1, most + 1, True, 1.0, "1", None):
        with pytest.raises(RateError):
            check(value)
