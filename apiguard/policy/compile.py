"""Rows -> snapshot and errors. Pure: attributes of rows in, frozen objects out.

A bad row never loosens policy and never delays the others: what it grants is
dropped, what it guards is refused, and all others are compiled as they are.

Every section (a CORS policy with its origins, a tier with its limits, an
issuer, a route, ...) is compiled by itself. A successor compiles those that a
change touches, and shares all others with its predecessor; compiling all rows
is the same, starting from none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from .. import conf
from ..conf import Settings
from ..rules.paths import PrefixTable
from .compilers.blocks import Blocks
from .compilers.cors import CorsPolicies
from .compilers.headers import HeaderPolicies
from .compilers.issuers import Issuers
from .compilers.routes import References, Routes
from .compilers.tiers import Tiers
from .groups import pk_order
from .rows import Delta, Rows
from .snapshot import Part, RowProblem, Snapshot, TierPolicy


@dataclass(frozen=True, slots=True)
class Sections:
    """All that one revision was compiled to, for its successor to share."""

    cors: CorsPolicies = field(default_factory=CorsPolicies)
    headers: HeaderPolicies = field(default_factory=HeaderPolicies)
    tiers: Tiers = field(default_factory=Tiers)
    issuers: Issuers = field(default_factory=Issuers)
    routes: Routes = field(default_factory=Routes)
    blocks: Blocks = field(default_factory=Blocks)
    settings: Settings | None = None


def compile_rows(rows: Rows, *, revision: int = 0, stamp: str = "") -> Snapshot:
    """Return all rows of one revision, compiled; never raises for what a row says."""
    compiled = recompile(None, Delta(rows))
    return replace(compiled, revision=revision, stamp=stamp)


def may_be_shared(held: Snapshot) -> bool:
    """Whether a successor may share with ``held``: made by the same settings, from rows."""
    sections: Sections | None = held.sections
    return sections is not None and sections.settings is conf.current()


def recompile(held: Snapshot | None, delta: Delta) -> Snapshot:
    """Return the rows that ``held`` was compiled from with these differences, as of no revision.

    Equal, errors included, to compiling all rows as they are now.
    """
    before: Sections = Sections() if held is None else held.sections
    after = replace(_advance(before, delta), settings=conf.current())
    tiers = _values(after.tiers.parts)
    issuers = _values(after.issuers.parts)
    return Snapshot(
        revision=0,
        stamp="",
        routes=_table(held, before.routes, after.routes),
        tiers=tiers,
        tiers_by_slug={tier.slug: tier for tier in tiers.values()},
        issuers={issuer.rules.issuer: issuer for issuer in issuers.values()},
        blocks=after.blocks.table,
        problems=tuple(_problems(after)),
        sections=after,
    )


def _advance(held: Sections, delta: Delta) -> Sections:
    cors, cors_moved = held.cors.after(delta)
    headers, headers_moved = held.headers.after(delta)
    drafts, touched = held.routes.drafted(delta)
    came_or_went = held.routes.came_or_went(delta)
    tiers, tiers_compiled = held.tiers.after(delta, drafts.drafts, came_or_went)
    issuers = held.issuers.after(delta)
    by_pk = _values(tiers.parts)
    tiers_moved = frozenset(
        pk for pk in tiers_compiled if _seen_by_routes(held.tiers, pk) != _seen_by_routes(tiers, pk)
    )
    references = References(
        cors=cors.parts,
        headers=headers.parts,
        tiers=by_pk,
        limits=tiers.groups.members(),
        moved={
            "cors_policy_id": frozenset(cors_moved),
            "header_policy_id": frozenset(headers_moved),
            "anonymous_tier_id": tiers_moved,
            "user_tier_id": tiers_moved,
        },
        limited=_limited(held.tiers, tiers, tiers_compiled),
    )
    routes = drafts.linked(touched, references)
    return Sections(cors, headers, tiers, issuers, routes, held.blocks.after(delta))


def _seen_by_routes(tiers: Tiers, pk: Any) -> tuple[Any, ...] | None:
    """Return what a route that refers to this tier depends on."""
    part = tiers.parts.get(pk)
    if part is None or part.value is None:
        return None
    tier: TierPolicy = part.value
    return (tier.slug, tier.name) if tier.broken else ()


def _limited(before: Tiers, after: Tiers, compiled: Iterable[Any]) -> frozenset[Any]:
    """Routes whose own limits, in these tiers, are others than before."""
    routes: set[Any] = set()
    for pk in compiled:
        groups = [tiers.groups.by_pk.get(pk) for tiers in (before, after)]
        # By identity: a limit that was written is another instance of the same row.
        old, new = ({id(m): m for m in group.members} if group else {} for group in groups)
        routes |= {(old | new)[key].route_id for key in old.keys() ^ new.keys()}
    return frozenset(routes - {None})


def _table(held: Snapshot | None, before: Routes, after: Routes) -> PrefixTable[Any]:
    if held is not None and after.prefixes is before.prefixes:
        return held.routes
    linked = sorted(after.prefixes.values(), key=lambda prefix: pk_order(prefix.first))
    return PrefixTable({one.route.prefix: one.route for one in linked if one.route is not None})


def _values(parts: Mapping[Any, Part[Any]]) -> dict[Any, Any]:
    """Return what there is of these, in the order of their primary keys."""
    values = [(pk, part.value) for pk, part in parts.items() if part.value is not None]
    return dict(sorted(values, key=lambda value: pk_order(value[0])))


def _problems(sections: Sections) -> Iterable[RowProblem]:
    """Yield all problems, in an order that does not depend on how they were found."""
    for parts in (sections.cors.parts, sections.headers.parts, sections.tiers.parts):
        yield from _in_order((pk, part.problems) for pk, part in parts.items())
    prefixes = sections.routes.prefixes.values()
    yield from _in_order((prefix.first, prefix.problems) for prefix in prefixes)
    for alone in (sections.issuers.parts, sections.blocks.parts):
        yield from _in_order((pk, part.problems) for pk, part in alone.items())


def _in_order(
    found: Iterable[tuple[Any, tuple[RowProblem, ...]]],
) -> Iterable[RowProblem]:
    with_problems = [(pk, problems) for pk, problems in found if problems]
    ordered = sorted(with_problems, key=lambda one: pk_order(one[0]))
    return chain.from_iterable(problems for _, problems in ordered)
