"""Which figures keep which promise."""

from __future__ import annotations

import pytest

from benchmarks.figures import Flooded, Grown
from benchmarks.promises import judge, ratio
from tests.benchmarks.figures_of import case, figures


def broken(given):
    return [promise.name for promise in judge(given) if not promise.met]


def test_figures_at_their_bounds_keep_every_promise():
    assert broken(figures()) == []


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        pytest.param(
            {"cases": {"apiguard-key": case("apiguard-key", sql=1)}},
            ["SQL queries of a warm request, apiguard-key"],
            id="a query",
        ),
        pytest.param(
            {"cases": {"apiguard-memory": case("apiguard-memory", redis=1)}},
            ["Redis commands of a warm request, apiguard-memory"],
            id="a command",
        ),
        pytest.param(
            {"cases": {"peers-key": case("peers-key", microseconds=314.0)}},
            ["cost of (b) over that of (d)"],
            id="dearer than the peers allow",
        ),
        pytest.param(
            {"cases": {"apiguard-leases": case("apiguard-leases", microseconds=133.0)}},
            ["cost of a busy caller over that of (d)"],
            id="a busy caller dearer than the peers allow",
        ),
        pytest.param(
            {"cases": {"floor": case("floor", microseconds=119.0)}},
            ["cost of a busy caller over that of a PING"],
            id="a busy caller dearer than a PING",
        ),
        pytest.param(
            {"cases": {"peers-key": case("peers-key", per_second=401.0)}},
            ["requests per second of (b) over (d)"],
            id="fewer requests",
        ),
        pytest.param(
            {"growth": {"routes": Grown(1, 1000, 100.0, 121.0)}},
            ["routes, 1 to 1,000"],
            id="growth",
        ),
        pytest.param(
            {"floods": {"garbage": Flooded(100.0, 121.0)}},
            ["a good client under a flood: garbage"],
            id="a flood",
        ),
    ],
)
def test_one_figure_beyond_its_bound_breaks_its_promise_alone(changed, names):
    assert broken(figures(**changed)) == names


def test_a_ratio_of_nothing_keeps_no_promise():
    peers_that_cost_nothing = figures({"peers-key": case("peers-key", microseconds=100.0)})
    assert broken(peers_that_cost_nothing) == [
        "cost of (b) over that of (d)",
        "cost of a busy caller over that of (d)",
    ]
    assert ratio(1.0, 0.0) != ratio(1.0, 0.0)
