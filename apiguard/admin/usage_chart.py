"""A bar chart as SVG: places and heights only, because a strict CSP forbids inline styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.formats import date_format

from ..telemetry.formatting import local_time
from ..telemetry.usage_report import Period

HEIGHT = 100
# The width of one bar with the gap behind it.
STEP, BAR = 10, 8
# What is not zero can be seen.
LEAST = 1.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One period: a label, its numbers as text, and two rectangles one above the other.

    ``y`` and ``height`` are of all requests; ``refused_height`` is of those on top that
    were refused.
    """

    label: str
    requests: str
    refused: str
    would_refuse: str
    x: int
    y: float
    height: float
    refused_height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """All bars, from left to right; ``most`` is the number at the top."""

    bars: list[Bar]
    most: str
    width: int
    height: int = HEIGHT

    @property
    def first(self) -> str:
        return self.bars[0].label if self.bars else ""

    @property
    def last(self) -> str:
        return self.bars[-1].label if self.bars else ""

    @property
    def is_empty(self) -> bool:
        return self.most == "0"


def draw(periods: Sequence[Period], label_format: str) -> Chart:
    """Return the chart of these periods, labelled in the current time zone."""
    most = max((one.totals.requests for one in periods), default=0)
    bars = [_bar(place, one, most, label_format) for place, one in enumerate(periods)]
    return Chart(bars, f"{most:,}", STEP * len(bars))


def _bar(place: int, period: Period, most: int, label_format: str) -> Bar:
    start, totals = period.start, period.totals
    height = _height(totals.requests, most)
    return Bar(
        label=date_format(local_time(start), label_format),
        requests=f"{totals.requests:,}",
        refused=f"{totals.refused:,}",
        would_refuse=f"{totals.would_refuse:,}",
        x=place * STEP,
        y=round(HEIGHT - height, 1),
        height=height,
        refused_height=min(height, _height(totals.refused, most)),
    )


def _height(number: int, most: int) -> float:
    return round(max(LEAST, HEIGHT * number / most), 1) if number else 0.0
