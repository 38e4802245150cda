"""Rows that can be enforced but can hardly be meant; shown at the forms and on the overview."""

from __future__ import annotations

from collections.abc import Iterator

from ..models import Route
from ..models.state import write_alias
from ..policy.callers import read_callers
from ..policy.consequences import find_conditions
from ..policy.snapshot import RowProblem, Snapshot


def find_warnings(snapshot: Snapshot | None) -> Iterator[RowProblem]:
    """Yield what holds in a policy and is hardly meant; three queries."""
    if snapshot is not None:
        yield from find_conditions(snapshot, read_callers())


def find_odd_routes() -> Iterator[RowProblem]:
    """Yield what routes say that can hardly be meant; one query."""
    for route in Route.objects.using(write_alias()).exclude(mode=Route.Mode.OFF):
        if not route.problems():
            for oddity in route.oddities():
                yield RowProblem("route", route.pk, route.name, oddity)
