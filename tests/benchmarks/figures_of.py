"""Figures of a run that nobody made: everything is promised, everything is kept."""

from __future__ import annotations

from typing import Any

from benchmarks.figures import Figures, Flooded, Grown, Measured

MICROSECONDS = {
    "bare": 100.0,
    "floor": 150.0,
    "apiguard-key": 175.0,
    "apiguard-jwt": 190.0,
    "apiguard-leases": 130.0,
    "apiguard-memory": 120.0,
    "peers-key": 315.0,
    "peers-jwt": 400.0,
    "peers-smart": 420.0,
}
PER_SECOND = {"apiguard-key": 800.0, "peers-key": 400.0}


def case(name: str, **changed: Any) -> Measured:
    """A case as promised, but for what is changed."""
    usual = {
        "sql": 0,
        "redis": 0 if name in ("bare", "apiguard-leases", "apiguard-memory") else 1,
        "microseconds": MICROSECONDS[name],
        "per_second": PER_SECOND.get(name, 500.0),
    }
    return Measured(**{**usual, **changed})


def figures(
    cases: dict[str, Measured] | None = None,
    growth: dict[str, Grown] | None = None,
    floods: dict[str, Flooded] | None = None,
) -> Figures:
    """A whole run."""
    return Figures(
        machine={"python": "3.11"},
        cases={**{name: case(name) for name in MICROSECONDS}, **(cases or {})},
        growth=growth or {"origins": Grown(1, 10_000, 90.0, 91.0)},
        floods=floods or {"unknown keys": Flooded(200.0, 210.0, 0)},
    )
