"""What apiguard promises of its cost, and whether the figures of a run keep it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import Figures, Measured

# Microseconds added in the process, as a share of what the peers add.
MOST_OF_PEERS = 0.35
# The same of a busy caller, whose requests are covered by leases; and of what one PING adds.
MOST_OF_PEERS_BUSY = 0.15
MOST_OF_PING_BUSY = 1.5
# Requests per second, of those with the peers.
LEAST_OF_PEERS = 2.0
# The largest over the smallest; flooded over not.
MOST_GROWTH = 1.2
# SQL queries and Redis commands of a warm request.
WARM: Mapping[str, tuple[int, int]] = {
    "apiguard-key": (0, 1),
    "apiguard-jwt": (0, 1),
    "apiguard-leases": (0, 0),
    "apiguard-memory": (0, 0),
}


@dataclass(frozen=True, slots=True)
class Promise:
    """A figure and its bound."""

    name: str
    figure: float
    bound: float
    kind: Literal["at most", "at least"] = "at most"

    @property
    def met(self) -> bool:
        """Whether the figure is within its bound; figures that are no numbers are not."""
        if self.kind == "at least":
            return self.figure >= self.bound
        return self.figure <= self.bound


def added(cases: Mapping[str, Measured], name: str) -> float:
    """Microseconds that a case adds to the bare view."""
    return cases[name].microseconds - cases["bare"].microseconds


def ratio(one: float, other: float) -> float:
    """``one / other``; not a number where noise left nothing to divide by."""
    return one / other if other > 0 else float("nan")


def judge(figures: Figures) -> list[Promise]:
    """Every promise that these figures speak of."""
    return [
        *_commands(figures.cases),
        *_cost(figures.cases),
        *_growth(figures),
    ]


def _commands(cases: Mapping[str, Measured]) -> list[Promise]:
    return [
        Promise(f"{what} of a warm request, {name}", figure, bound)
        for name, bounds in WARM.items()
        for what, figure, bound in zip(
            ("SQL queries", "Redis commands"),
            (cases[name].sql, cases[name].redis),
            bounds,
            strict=True,
        )
    ]


def _cost(cases: Mapping[str, Measured]) -> list[Promise]:
    ours, busy = added(cases, "apiguard-key"), added(cases, "apiguard-leases")
    peers = added(cases, "peers-key")
    rate = ratio(cases["apiguard-key"].per_second, cases["peers-key"].per_second)
    return [
        Promise("cost of (b) over that of (d)", ratio(ours, peers), MOST_OF_PEERS),
        Promise("cost of a busy caller over that of (d)", ratio(busy, peers), MOST_OF_PEERS_BUSY),
        Promise(
            "cost of a busy caller over that of a PING",
            ratio(busy, added(cases, "floor")),
            MOST_OF_PING_BUSY,
        ),
        Promise("requests per second of (b) over (d)", rate, LEAST_OF_PEERS, "at least"),
    ]


def _growth(figures: Figures) -> list[Promise]:
    grown = [
        Promise(f"{name}, {row.least:,} to {row.most:,}", ratio(row.large, row.small), MOST_GROWTH)
        for name, row in figures.growth.items()
    ]
    floods = [
        Promise(f"a good client under a flood: {name}", ratio(row.under, row.alone), MOST_GROWTH)
        for name, row in figures.floods.items()
    ]
    return grown + floods
