"""What one run of ``scripts/bench`` found; plain numbers, as they are written to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """What a case costs: round trips of a warm request, and medians."""

    sql: int
    redis: int
    microseconds: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Grown:
    """Median microseconds of a request at the least and at the most of something."""

    least: int
    most: int
    small: float
    large: float


@dataclass(frozen=True, slots=True)
class Flooded:
    """Median microseconds of a good client's request without and with a flood."""

    alone: float
    under: float
    # SQL queries of its first request after the flood; None where they were not counted.
    queries: int | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """All of it, and on what it was measured."""

    machine: Mapping[str, str]
    cases: Mapping[str, Measured]
    growth: Mapping[str, Grown]
    floods: Mapping[str, Flooded]
