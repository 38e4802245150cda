"""The model of the capacity page predicts what its two figures say."""

from __future__ import annotations

import pytest

from benchmarks.capacity import MEASURED, predict, table
from tests.benchmarks.figures_of import case


def test_nothing_added_is_the_rate_without_the_guard():
    assert predict(case("bare"), 0, workers=2) == pytest.approx(500)


def test_a_worker_that_spends_twice_the_time_serves_half_the_requests():
    # Two workers at 500 a second: 4,000 µs a request in each.
    assert predict(case("bare"), 4_000, workers=2) == pytest.approx(250)


def test_the_table_compares_each_case_with_its_prediction():
    measured = {each.name: case(each.name) for each in MEASURED}
    row = next(row for row in table(measured).rows if row[0] == "(b) apiguard, key")
    assert row[1:] == ("75", "491", "800", "-39%")
