"""The tables of a run."""

from __future__ import annotations

import json

import pytest

from benchmarks import bench
from benchmarks.report import tables
from benchmarks.site.cases import CASES
from tests.benchmarks.figures_of import case, figures


def rows(title, given):
    return next(table.rows for table in tables(given) if table.title == title)


def test_every_case_has_a_row_with_what_it_adds():
    found = {row[0]: row[1:] for row in rows("Side by side", figures())}
    assert list(found) == [one.title for one in CASES]
    assert found["(b) apiguard, key"] == [0, 1, "175", "75", "0.35", "800", "1.60"]


def test_growth_and_floods_are_ratios():
    assert rows("Growth", figures()) == [["origins", "1", "10,000", "90", "91", "1.01"]]
    assert rows("Floods", figures()) == [["unknown keys", "200", "210", "1.05", 0]]


def test_a_broken_promise_is_shown():
    slow = figures({"apiguard-key": case("apiguard-key", per_second=1.0)})
    verdicts = {row[0]: row[-1] for row in rows("Promises", slow)}
    assert verdicts["requests per second of (b) over (d)"] == "not met"
    assert verdicts["cost of (b) over that of (d)"] == "met"


def test_all_figures_and_verdicts_are_written_as_json(tmp_path):
    file = tmp_path / "new" / "bench.json"
    bench.write(figures(), file)
    document = json.loads(file.read_text())
    assert document["cases"]["peers-key"]["microseconds"] == 315.0
    assert all(promise["met"] for promise in document["promises"])


@pytest.mark.parametrize("markdown", [True, False])
def test_all_tables_are_printed(capsys, markdown):
    bench.show(figures(), markdown=markdown)
    said = capsys.readouterr().out
    assert ("## Promises" in said) is markdown
    assert ("PROMISES" in said) is not markdown


def test_what_is_typed_is_understood(tmp_path):
    given = bench.arguments(["--quick", "--markdown", "--json", str(tmp_path)])
    assert (given.quick, given.markdown, given.json) == (True, True, tmp_path)
    assert bench.arguments([]).json == bench.JSON_FILE
