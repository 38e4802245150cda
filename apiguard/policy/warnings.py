"""Rows that can be enforced but can hardly be meant: found in one place.

The forms of the admin, its overview and ``apiguard check`` show what is found here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..models import Route
from ..models.state import write_alias
from .callers import read_callers
from .consequences import find_conditions
from .consequences.statements import Callers
from .snapshot import RowProblem, Snapshot


def read_warnings(snapshot: Snapshot) -> list[RowProblem]:
    """Read the rows that are not part of a snapshot, and return all warnings; four queries."""
    routes = Route._base_manager.using(write_alias()).order_by("path_prefix")
    return find_warnings(snapshot, read_callers(), routes)


def find_warnings(
    snapshot: Snapshot, callers: Callers, routes: Iterable[Route]
) -> list[RowProblem]:
    """Return the warnings of a policy; ``routes`` are the rows of its routes. No query."""
    return [*find_conditions(snapshot, callers), *_odd_routes(routes)]


def _odd_routes(routes: Iterable[Route]) -> Iterator[RowProblem]:
    for route in routes:
        if route.mode != Route.Mode.OFF and not route.problems():
            yield from (RowProblem("route", route.pk, route.name, one) for one in route.oddities())
