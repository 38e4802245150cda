from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiguard.counters.merged_log import (
    MAX_ENTRIES,
    B,
    CalendarQuota,
    MergedLog,
    calendar_bounds,
    new_tally,
)
from apiguard.rules.limits import MICROSECONDS, Limit

START = 1_790_000_000_000_000
WINDOW = 64 * MICROSECONDS


def window(amount: int, period: int = 64) -> Limit:
    return Limit(1, "w", "window", amount, period)


def fill(log: MergedLog, limit: Limit, moments: list[int]) -> None:
    for moment in moments:
        log.settle(moment, limit)
        if log.wait(moment, limit, 1) == 0:
            log.add(moment, limit, 1)


def test_small_amounts_are_never_merged():
    log = MergedLog()
    fill(log, window(B), [START] * B)
    assert list(log.count) == [1] * B


def test_an_admission_is_merged_up_to_a_share_of_the_window_after_the_start_of_the_newest():
    log = MergedLog()
    fill(log, window(B + 1), [START, START + WINDOW // B, START + WINDOW // B + 1])
    assert list(log.count) == [2, 1]
    assert list(log.last) == [START + WINDOW // B, START + WINDOW // B + 1]


@given(st.lists(st.integers(0, WINDOW // B * 2), max_size=300), st.integers(1, 10**6))
def test_there_are_never_more_than_one_entry_per_share_and_one(gaps, amount):
    log, now, limit = MergedLog(), START, window(amount)
    for gap in gaps:
        now += gap
        fill(log, limit, [now])
        assert len(log.last) <= B + 1


def test_a_period_that_grows_again_and_again_cannot_grow_the_log():
    log, now = MergedLog(), START
    for period in (60, 3600, 86400, 2_678_400):
        for _ in range(3 * B):
            now += period * MICROSECONDS // B + 1
            fill(log, window(10**6, period), [now])
            assert len(log.last) <= MAX_ENTRIES


def test_a_copy_is_independent():
    log, quota = MergedLog(), CalendarQuota(START, 1)
    log_copy, quota_copy = log.copy(), quota.copy()
    log_copy.add(START, window(1), 1)
    quota_copy.add(START, window(1), 1)
    assert (log.used, quota.used) == (0, 1)


def test_a_tally_is_of_the_kind_of_its_limit():
    assert isinstance(new_tally(window(1)), MergedLog)
    assert isinstance(new_tally(Limit(1, "q", "quota", 1, 0, "day")), CalendarQuota)


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(9000, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    )
)
def test_calendar_bounds_are_those_of_the_calendar(moment):
    now = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    begin, end = (
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=bound)
        for bound in calendar_bounds(now, "month")
    )
    assert begin <= moment < end
    assert begin == moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert end.day == 1
    assert end - begin <= timedelta(days=31)


@pytest.mark.parametrize("seconds", [0, 1, 86399, 86400, 1_790_000_000])
def test_a_day_has_86400_seconds(seconds):
    begin, end = calendar_bounds(seconds * MICROSECONDS, "day")
    assert begin <= seconds * MICROSECONDS < end
    assert end - begin == 86400 * MICROSECONDS
    assert begin % (86400 * MICROSECONDS) == 0
