"""Rows -> snapshot and errors. Pure: attributes of rows in, frozen objects out.

A bad row never loosens policy and never delays the others: what it grants is
dropped, what it guards is refused, and all others are compiled as they are.
"""

from __future__ import annotations

from ..rules.paths import PrefixTable
from .compilers.cors import cors_policies
from .compilers.headers import header_policies
from .compilers.issuers import issuers
from .compilers.routes import routes
from .compilers.tiers import overrides, tiers
from .rows import Problems, Rows
from .snapshot import Snapshot


def compile_rows(rows: Rows, *, revision: int = 0, stamp: str = "") -> Snapshot:
    """All rows of one revision, compiled; never raises for what a row says."""
    problems = Problems()
    cors = cors_policies(rows, problems)
    headers = header_policies(rows, problems)
    by_pk = tiers(rows, problems)
    return Snapshot(
        revision=revision,
        stamp=stamp,
        routes=PrefixTable(routes(rows, cors, headers, by_pk, problems)),
        tiers=by_pk,
        tiers_by_slug={tier.slug: tier for tier in by_pk.values()},
        issuers=issuers(rows, problems),
        overrides=overrides(rows, problems),
        problems=tuple(problems.found),
    )
