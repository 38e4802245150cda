from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apiguard.telemetry.formatting import format_duration, format_moment, format_time


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (0.61, "0.6 s"),
        (9.94, "9.9 s"),
        (9.96, "9 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_800, "2 days"),
    ],
)
def test_durations_have_the_unit_that_people_would_take(seconds, words):
    assert format_duration(seconds) == words


def test_the_day_is_named_unless_it_is_today():
    now = datetime(2026, 1, 2, 0, 30, tzinfo=UTC)
    assert format_time(now, now) == "00:30:00 UTC"
    assert format_time(now - timedelta(hours=2), now) == "1 Jan, 22:30:00 UTC"


def test_an_instant_is_named_with_its_time_zone():
    assert format_moment(datetime(2026, 1, 2, 0, 30, 5, tzinfo=UTC)) == "2026-01-02 00:30:05 UTC"


def test_a_project_without_time_zones_reads_the_times_of_its_rows(settings):
    settings.USE_TZ = False
    now = datetime(2026, 1, 2, 0, 30)  # noqa: DTZ001
    assert format_moment(now) == "2026-01-02 00:30:00"
    assert format_time(now, now) == "00:30:00 UTC"
    assert format_time(now - timedelta(hours=2), now) == "1 Jan, 22:30:00 UTC"
