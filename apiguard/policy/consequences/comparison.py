"""All differences of two snapshots, one path prefix after the other."""

from __future__ import annotations

from collections.abc import Iterator

from ..snapshot import Snapshot
from .blocks import compare_blocks
from .conditions import COST, find_conditions
from .issuers import compare_issuers
from .limits import compare_tiers
from .routes import Place, compare_place
from .statements import Callers, Draft, Kind, Statement, merge


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
            *compare_blocks(before.blocks, after.blocks),
        ]
    )
    return (*found, *_new_conditions(before, after, callers or Callers()))


def _new_conditions(before: Snapshot, after: Snapshot, callers: Callers) -> Iterator[Statement]:
    """Yield the limits that admit nothing any more; what else holds is a difference itself."""
    known = {(each.pk, str(each.error)) for each in find_conditions(before, callers)}
    for found in find_conditions(after, callers):
        if found.error.code == COST and (found.pk, str(found.error)) not in known:
            text = f"{found.name}: {found.error.reason}"
            yield Statement(Kind.CLOSES, COST, text)


def _compare_routes(before: Snapshot, after: Snapshot) -> Iterator[Draft]:
    """Yield the differences under each prefix that either policy has.

    Of a path, the longest prefix of both policies together decides which routes
    judge it before and after, so all its paths share one comparison.
    """
    for prefix in sorted(before.routes.prefixes() | after.routes.prefixes()):
        old, new = before.routes.find(prefix), after.routes.find(prefix)
        if old is not new:
            yield from compare_place(Place(prefix, old, new, before, after))
