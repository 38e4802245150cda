"""All differences of two snapshots, one path prefix after the other."""

from __future__ import annotations

from collections.abc import Iterator

from ..snapshot import Snapshot
from .conditions import find_conditions
from .issuers import compare_issuers
from .limits import compare_tiers
from .routes import Place, compare_place
from .statements import Callers, Draft, Statement, merge


def compare(
    before: Snapshot, after: Snapshot, callers: Callers | None = None
) -> tuple[Statement, ...]:
    """Return what the step from one policy to another does, openings first.

    Args:
        callers: numbers for the sentences, as of before the step; a tier in which
            nobody is counted opens nothing. ``None``: not known.
    """
    found = merge(
        [
            *_compare_routes(before, after),
            *compare_tiers(before, after, callers),
            *compare_issuers(before, after),
        ]
    )
    known = {condition.text for condition in find_conditions(before, callers or Callers())}
    added = [
        condition
        for condition in find_conditions(after, callers or Callers())
        if condition.code == "cost_above_amount" and condition.text not in known
    ]
    return (*found, *added)


def _compare_routes(before: Snapshot, after: Snapshot) -> Iterator[Draft]:
    """Yield the differences under each prefix that either policy has.

    Of a path, the longest prefix of both policies together decides which routes
    judge it before and after, so all its paths share one comparison.
    """
    for prefix in sorted(before.routes.prefixes() | after.routes.prefixes()):
        old, new = before.routes.find(prefix), after.routes.find(prefix)
        if old is not new:
            yield from compare_place(Place(prefix, old, new, before, after))
