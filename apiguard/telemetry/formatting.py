"""Times and durations as text, in the current time zone."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _


def format_duration(seconds: float) -> str:
    """Such as "0.6 s", "40 s", "4 min", "3 h", "5 days"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for unit, length, most in (("s", 1, 120), ("min", 60, 7_200), ("h", 3_600, 172_800)):
        if seconds < most:
            return f"{int(seconds / length)} {unit}"
    return _("%d days") % int(seconds / 86_400)


def local_time(at: datetime) -> datetime:
    """Return ``at`` in the current time zone; where ``USE_TZ`` is off, it is already.

    The first and last days of the calendar, which not every zone has, stay as they are.
    """
    try:
        return at if timezone.is_naive(at) else timezone.localtime(at)
    except OverflowError:
        return at


def format_time(at: datetime, now: datetime) -> str:
    """Format the time of day with its zone, and the day unless it is today."""
    at, now = local_time(at), local_time(now)
    return date_format(at, "H:i:s T" if at.date() == now.date() else "j M, H:i:s T")


def format_moment(at: datetime) -> str:
    """Format day and time with seconds and the time zone, such as "2026-01-31 10:00:00 UTC"."""
    local = local_time(at)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname() or ''}".rstrip()
