"""Rates as people write them: "100 per minute", "10,000 tokens per calendar month", "2 at once".

A rate is an amount in *any* period of so many seconds (a sliding window), an
amount per UTC calendar day or month (a quota), or so many requests at once.
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

# What is counted where no unit is named, and what a limit on requests in flight counts.
REQUESTS = "requests"
IN_FLIGHT = "concurrent-requests"
# Seconds after which a request no longer counts as in flight: its worker must have died.
AT_ONCE_PERIOD = 600
# The counter keeps an entry for each request in flight.
MAX_AT_ONCE = 10_000

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
    r"(?P<amount>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)\s*(?:(?P<counted>[a-z][a-z0-9-]*)\s*)?"
    r"(?:/|(?<![a-z-])per\b)\s*(?P<calendar>calendar\s+)?(?:(?P<times>[0-9]+)\s*)?(?P<unit>[a-z]+)",
    re.ASCII | re.IGNORECASE,
)
_AT_ONCE = re.compile(
    r"(?P<amount>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)\s*(?:requests?\s+)?at\s+once"
    r"(?:\s+for\s+(?:(?P<times>[0-9]+)\s*)?(?P<unit>[a-z]+))?",
    re.ASCII | re.IGNORECASE,
)
_UNIT_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*", re.ASCII)
MAX_UNIT = 32
# They would make a rate, or what is counted by the guard itself, ambiguous.
_RESERVED_UNITS = frozenset({"per", "at", "calendar", "request", IN_FLIGHT})


@dataclass(frozen=True, slots=True)
class Rate:
    """``amount`` of a unit per ``period`` seconds, or per UTC ``calendar`` unit.

    Exactly one of ``period`` and ``calendar`` is given. ``at_once``: so many requests
    may be in flight, each of them for ``period`` seconds at most.

    Raises:
        RateError: the amount is not 1..10**9, the period not 1 second..31 days, or the
            unit has no valid name.
    """

    amount: int
    period: int | None
    calendar: Calendar = ""
    unit: str = REQUESTS
    at_once: bool = False

    def __post_init__(self) -> None:
        if (self.period is None) != (self.calendar in ("day", "month")):
            raise RateError("bad_period", self.period, "A rate has a period or a calendar unit.")
        check_amount(self.amount)
        if self.period is not None:
            check_period(self.period)
        check_unit(self.unit)
        if self.at_once and (self.period is None or self.unit != REQUESTS):
            raise RateError("bad_unit", self.unit, "Only requests are counted at once.")
        if self.at_once:
            _whole_number("bad_amount", self.amount, MAX_AT_ONCE, "An amount at once")


def parse_rate(text: object) -> Rate:
    """Return the rate that ``text`` describes; the period is in seconds.

    Raises:
        RateError: it cannot be read, or is out of bounds.
    """
    match = None
    if isinstance(text, str) and len(text) <= _MAX_TEXT:
        at_once = _AT_ONCE.fullmatch(text.strip())
        if at_once is not None:
            return _rate_at_once(text, at_once)
        match = _RATE.fullmatch(text.strip())
    if match is None:
        raise RateError(
            "bad_rate",
            text,
            "This is not a rate.",
            'Write an amount and a period, such as "100 per minute", "5 per 90 seconds", '
            '"10000 tokens per minute", or "2 at once".',
        )
    amount = _amount_of(match)
    unit, counted = match["unit"].lower(), (match["counted"] or REQUESTS).lower()
    counted = REQUESTS if counted == "request" else counted
    if match["calendar"]:
        return _calendar_rate(text, amount, match["times"], unit, counted)
    period = int(match["times"] or 1) * _unit_seconds(text, amount, unit)
    return Rate(amount, period, unit=counted)


def format_rate(rate: Rate) -> str:
    """The canonical text of ``rate``: "1,000 per hour", "5 tokens per 90 seconds", "2 at once"."""
    if rate.at_once and rate.period is not None:
        text = f"{rate.amount:,} at once"
        is_usual = rate.period == AT_ONCE_PERIOD
        return text if is_usual else f"{text} for {_format_length(rate.period)}"
    amount = f"{rate.amount:,}" if rate.unit == REQUESTS else f"{rate.amount:,} {rate.unit}"
    if rate.period is None:
        return f"{amount} per calendar {rate.calendar}"
    return f"{amount} per {_format_period(rate.period)}"


def check_amount(amount: object) -> int:
    """``amount`` as a number of cost units, 1..10**9. Raises RateError."""
    return _whole_number("bad_amount", amount, MAX_AMOUNT, "An amount")


def check_unit(unit: object) -> str:
    """``unit`` as the name of what is counted, such as "tokens". Raises RateError."""
    if (
        isinstance(unit, str)
        and len(unit) <= MAX_UNIT
        and _UNIT_NAME.fullmatch(unit)
        and unit not in _RESERVED_UNITS
    ):
        return unit
    raise RateError(
        "bad_unit",
        unit,
        f"{unit!r} is no name of a unit.",
        f"Write 1 to {MAX_UNIT} lower-case letters, digits and single hyphens, such as tokens or "
        "content-bytes.",
    )


def check_reserve(reserve: object) -> dict[str, int]:
    """``reserve`` as what a request takes beforehand of each unit, such as {"tokens": 1000}.

    Raises:
        RateError: it is no object, a unit has no valid name, or an amount is not 1..10**9.
    """
    if not isinstance(reserve, dict):
        raise RateError(
            "bad_reserve",
            reserve,
            "This is no object of units and amounts.",
            'Write one such as {"tokens": 1000}.',
        )
    for unit, amount in reserve.items():
        if check_unit(unit) == REQUESTS:
            raise RateError("bad_unit", unit, "Requests are the route's cost.", "Set the cost.")
        check_amount(amount)
    return reserve


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


def _amount_of(match: re.Match[str]) -> int:
    return int(match["amount"].replace(",", ""))


def _rate_at_once(text: object, match: re.Match[str]) -> Rate:
    amount, period = _amount_of(match), AT_ONCE_PERIOD
    if match["unit"]:
        seconds = _unit_seconds(text, amount, match["unit"].lower())
        period = int(match["times"] or 1) * seconds
    return Rate(amount, period, at_once=True)


def _calendar_rate(text: object, amount: int, times: str | None, unit: str, counted: str) -> Rate:
    # A multiple would need an arbitrary epoch to count from.
    if times is None and unit == "day":
        return Rate(amount, None, "day", counted)
    if times is None and unit == "month":
        return Rate(amount, None, "month", counted)
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


def _format_length(seconds: int) -> str:
    text = _format_period(seconds)
    return text if text[0].isdigit() else f"1 {text}"


def _format_period(seconds: int) -> str:
    for unit, length in sorted(_SECONDS.items(), key=lambda item: -item[1]):
        count, rest = divmod(seconds, length)
        if count and not rest:
            return unit if count == 1 else f"{count} {unit}s"
    raise AssertionError("every whole number is a multiple of one second")
