"""The figures of a run as tables."""

from __future__ import annotations

from benchmarks.figures import Figures
from benchmarks.promises import added, judge, ratio
from benchmarks.site.cases import CASES
from benchmarks.tables import Table


def tables(figures: Figures) -> list[Table]:
    """Cases, growth, floods, promises."""
    return [
        _cases(figures),
        _growth(figures),
        _floods(figures),
        _promises(figures),
    ]


def _cases(figures: Figures) -> Table:
    cases = figures.cases
    bare, peers = cases["bare"], added(cases, "peers-key")
    rows = [
        [
            case.title,
            one.sql,
            one.redis,
            f"{one.microseconds:.0f}",
            f"{added(cases, case.name):.0f}",
            f"{ratio(added(cases, case.name), peers):.2f}",
            f"{one.per_second:.0f}",
            f"{ratio(one.per_second, bare.per_second):.2f}",
        ]
        for case in CASES
        if (one := cases.get(case.name)) is not None
    ]
    note = (
        "One DRF view. (d) is django-cors-headers, djangorestframework-api-key, DRF's throttles\n"
        "and django-guid; (e) the same with simplejwt, (f) with django-smart-ratelimit. SQL\n"
        "queries and Redis commands of a warm request; median microseconds in the process, how\n"
        "many of them the case adds to the bare view, and that as a share of what (d) adds;\n"
        "requests per second of gunicorn with two sync workers, and as a share of the bare\n"
        "view's."
    )
    head = ["case", "SQL", "Redis", "µs", "added", "of (d)", "req/s", "of bare"]
    return Table("Side by side", note, head, rows)


def _growth(figures: Figures) -> Table:
    rows = [
        [
            name,
            f"{row.least:,}",
            f"{row.most:,}",
            f"{row.small:.0f}",
            f"{row.large:.0f}",
            f"{ratio(row.large, row.small):.2f}",
        ]
        for name, row in figures.growth.items()
    ]
    note = "Median microseconds of a request; apiguard alone in front of a plain Django view."
    return Table("Growth", note, ["what grows", "from", "to", "µs", "µs then", "ratio"], rows)


def _floods(figures: Figures) -> Table:
    rows = [
        [
            name,
            f"{row.alone:.0f}",
            f"{row.under:.0f}",
            f"{ratio(row.under, row.alone):.2f}",
            "" if row.queries is None else row.queries,
        ]
        for name, row in figures.floods.items()
    ]
    note = (
        "Median microseconds of a good client's request, between requests of other good clients\n"
        "and between those of a flood; SQL queries of its first request after the flood."
    )
    return Table("Floods", note, ["flood", "µs without", "µs with", "ratio", "SQL after"], rows)


def _promises(figures: Figures) -> Table:
    rows = [
        [
            one.name,
            f"{one.figure:.2f}",
            f"{one.kind} {one.bound:g}",
            "met" if one.met else "not met",
        ]
        for one in judge(figures)
    ]
    return Table(
        "Promises",
        "What apiguard promises of its cost, and the figures of this run.",
        ["promise", "figure", "bound", "result"],
        rows,
    )
