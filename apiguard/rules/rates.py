"""Rates as people write them: "100 per minute", "50,000 per calendar month".

A rate is either an amount in *any* period of so many seconds (a sliding
window) or an amount per UTC calendar day or month (a quota).
``parse_rate(format_rate(rate)) == rate`` for every rate.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from ..errors import RateError

MAX_AMOUNT = 10**9
MAX_PERIOD = 31 * 86400
MAX_COST = 10**6

Calendar = Literal["", "day", "month"]

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_MONTHS = frozenset({"mo", "mon", "month", "months", "mth"})
_ABBREVIATIONS = {
    "s": "second",
    "sec": "second",
    "secs": "second",
    "m": "minute",
    "min": "minute",
    "mins": "minute",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "d": "day",
    "w": "week",
}
_UNITS = {**_ABBREVIATIONS, **{unit: unit for unit in _SECONDS}} | {
    f"{unit}s": unit for unit in _SECONDS
}
_MAX_TEXT = 100
_RATE = re.compile(
    r"(?P<amount>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)\s*(?:/|per\b)\s*"
    r"(?P<calendar>calendar\s+)?(?:(?P<times>[0-9]+)\s*)?(?P<unit>[a-z]+)",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rate:
    """``amount`` cost units per ``period`` seconds, or per UTC ``calendar`` unit.

    Exactly one of ``period`` and ``calendar`` is given.

    Raises:
        RateError: the amount is not 1..10**9, the period not 1 second..31 days.
    """

    amount: int
    period: int | None
    calendar: Calendar = ""

    def __post_init__(self) -> None:
        if (self.period is None) != (self.calendar in ("day", "month")):
            raise RateError("bad_period", self.period, "A rate has a period or a calendar unit.")
        check_amount(self.amount)
        if self.period is not None:
            check_period(self.period)


def parse_rate(text: object) -> Rate:
    """The rate that ``text`` describes; the period is in seconds.

    Raises:
        RateError: it cannot be read, or is out of bounds.
    """
    match = None
    if isinstance(text, str) and len(text) <= _MAX_TEXT:
        match = _RATE.fullmatch(text.strip())
    if match is None:
        raise RateError(
            "bad_rate",
            text,
            "This is not a rate.",
            'Write an amount and a period, such as "100 per minute" or "5 per 90 seconds".',
        )
    amount = int(match["amount"].replace(",", ""))
    unit = match["unit"].lower()
    if match["calendar"]:
        return _calendar_rate(text, amount, match["times"], unit)
    return Rate(amount, int(match["times"] or 1) * _unit_seconds(text, amount, unit))


def format_rate(rate: Rate) -> str:
    """The canonical text of ``rate``: "1,000 per hour", "5 per 90 seconds"."""
    if rate.period is None:
        return f"{rate.amount:,} per calendar {rate.calendar}"
    return f"{rate.amount:,} per {_format_period(rate.period)}"


def check_amount(amount: object) -> int:
    """``amount`` as a number of cost units, 1..10**9. Raises RateError."""
    return _whole_number("bad_amount", amount, MAX_AMOUNT, "An amount")


def check_period(period: object) -> int:
    """``period`` as a window in seconds, 1..2678400 (31 days). Raises RateError."""
    return _whole_number("bad_period", period, MAX_PERIOD, "A period in seconds")


def check_cost(cost: object) -> int:
    """``cost`` as the price of one request in cost units, 1..10**6. Raises RateError."""
    return _whole_number("bad_cost", cost, MAX_COST, "A cost")


def _whole_number(code: str, value: object, most: int, subject: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most:
        return value
    raise RateError(code, value, f"{subject} is a whole number from 1 to {most:,}.")


def _calendar_rate(text: object, amount: int, times: str | None, unit: str) -> Rate:
    # A multiple would need an arbitrary epoch to count from.
    if times is None and unit == "day":
        return Rate(amount, None, "day")
    if times is None and unit == "month":
        return Rate(amount, None, "month")
    raise RateError(
        "bad_calendar",
        text,
        "A calendar quota is per calendar day or per calendar month (UTC).",
        suggestion=f"{amount:,} per calendar month",
    )


def _unit_seconds(text: object, amount: int, unit: str) -> int:
    if unit in _UNITS:
        return _SECONDS[_UNITS[unit]]
    if unit in _MONTHS:
        raise RateError(
            "month_has_no_length",
            text,
            "A month is not a fixed number of seconds.",
            'Say "per calendar month", or give days: "per 30 days".',
            suggestion=f"{amount:,} per calendar month",
        )
    nearest = difflib.get_close_matches(unit, list(_SECONDS), n=1)
    raise RateError(
        "unknown_unit",
        text,
        f"{unit!r} is not a unit of time.",
        "Use second, minute, hour, day or week.",
        suggestion=f"{amount:,} per {nearest[0]}" if nearest else None,
    )


def _format_period(seconds: int) -> str:
    for unit, length in sorted(_SECONDS.items(), key=lambda item: -item[1]):
        count, rest = divmod(seconds, length)
        if count and not rest:
            return unit if count == 1 else f"{count} {unit}s"
    raise AssertionError("every whole number is a multiple of one second")
