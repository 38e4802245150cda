"""Times as people say them."""

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


def format_time(at: datetime, now: datetime) -> str:
    """The time of day with its zone, and the day unless it is today."""
    at, now = timezone.localtime(at), timezone.localtime(now)
    return date_format(at, "H:i:s T" if at.date() == now.date() else "j M, H:i:s T")
