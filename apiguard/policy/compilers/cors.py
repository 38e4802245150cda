"""CORS policies with the origins that they may allow. An origin with an error matches nothing.

A policy may have very many origins, so one that is written goes into the
matcher, and one that is gone comes out of it; only where the policy itself
judges them otherwise are all of them read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from ...models import CorsPolicy
from ...rules import origins as origin_rules
from ...rules.headers import SAFELISTED_METHODS
from ...rules.sharded import ShardedMap
from ..groups import pk_order
from ..pacing import paced
from ..rows import Delta, OriginRow, Problems
from ..snapshot import Cors, Part, RowProblem

Grants = tuple[bool, bool, bool, bool]
"""What a policy makes of its origins: broken, credentials, insecure, public suffixes."""


@dataclass(frozen=True, slots=True)
class CorsPart(Part[Cors | None]):
    """A policy, compiled; ``None`` for origins of a policy that is missing.

    Attributes:
        row: the policy's row.
        grants: what its origins were judged by.
        origins: those that match.
        refused: what is wrong with the others, by their primary keys.
    """

    row: CorsPolicy | None
    grants: Grants
    origins: origin_rules.OriginSet
    refused: Mapping[Any, tuple[RowProblem, ...]]


@dataclass(frozen=True, slots=True)
class _Moves:
    """Origins that leave a policy, and those that come to it."""

    removed: list[OriginRow] = field(default_factory=list)
    added: list[OriginRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CorsPolicies:
    """All CORS policies, compiled, and their enabled origins by primary key."""

    origins: ShardedMap[Any, OriginRow] = field(default_factory=ShardedMap)
    parts: dict[Any, CorsPart] = field(default_factory=dict)

    def after(self, delta: Delta) -> tuple[CorsPolicies, set[Any]]:
        """Return a successor, and the primary keys of the policies that were compiled anew."""
        gone = delta.gone("cors_policies")
        moves, origins = self._moved(delta, gone)
        rows = {row.pk: row for row in delta.written.cors_policies}
        touched = {*moves, *rows, *gone}
        if not touched:
            return self, touched
        parts = dict(self.parts)
        for pk in gone:
            parts.pop(pk, None)
        for pk in touched:
            held = parts.pop(pk, None)
            row = rows.get(pk, None if held is None else held.row)
            part = _part(pk, row, held, moves.get(pk, _Moves()), origins)
            if part is not None:
                parts[pk] = part
        return CorsPolicies(origins, parts), touched

    def _moved(
        self, delta: Delta, gone: frozenset[Any]
    ) -> tuple[dict[Any, _Moves], ShardedMap[Any, OriginRow]]:
        """Which origins move, by policy, and all as they are then."""
        moves: dict[Any, _Moves] = {}
        written = [OriginRow.of(row) for row in delta.written.origins]
        leaving = {*delta.gone("origins"), *(row.pk for row in written)}
        if gone:
            # They were deleted with their policy, so nothing refers to them.
            leaving |= {pk for pk, row in paced(self.origins.items()) if row.policy_id in gone}
        removed = [pk for pk in leaving if pk in self.origins]
        for pk in removed:
            if (old := self.origins.get(pk)) is not None and old.policy_id not in gone:
                moves.setdefault(old.policy_id, _Moves()).removed.append(old)
        enabled = [row for row in written if row.enabled]
        for row in enabled:
            moves.setdefault(row.policy_id, _Moves()).added.append(row)
        if not len(self.origins):
            return moves, ShardedMap((row.pk, row) for row in paced(enabled))
        return moves, self.origins.after(removed, {row.pk: row for row in enabled})


def _part(
    pk: Any,
    row: CorsPolicy | None,
    held: CorsPart | None,
    moves: _Moves,
    origins: ShardedMap[Any, OriginRow],
) -> CorsPart | None:
    problems = Problems()
    broken = row is None or bool(problems.of(row))
    grants = _grants(row, broken)
    if held is not None and held.grants == grants and (held.row is None) == (row is None):
        refused = dict(held.refused)
        leaving = [old for old in moves.removed if refused.pop(old.pk, None) is None]
        removed = [] if broken else [origin_rules.parse_pattern(old.pattern) for old in leaving]
        added = _permitted(grants, moves.added, refused)
        matching = held.origins.after(removed, added)
    else:
        refused = {}
        if held is None:
            mine: Iterable[OriginRow] = moves.added
        else:
            mine = (origin for _, origin in origins.items() if origin.policy_id == pk)
        matching = origin_rules.OriginSet(_permitted(grants, mine, refused))
    if row is None and not refused and not any(o.policy_id == pk for _, o in origins.items()):
        return None
    noted = chain(problems.found, *(refused[key] for key in sorted(refused, key=pk_order)))
    cors = None if row is None else _cors(row, broken, matching)
    return CorsPart(cors, tuple(noted), row, grants, matching, refused)


def _grants(row: CorsPolicy | None, broken: bool) -> Grants:
    if row is None or broken:
        return (True, False, False, False)
    return (
        False,
        row.allow_credentials,
        row.dangerously_allow_insecure_origins,
        row.dangerously_allow_public_suffixes,
    )


def _cors(row: CorsPolicy, broken: bool, permitted: origin_rules.OriginSet) -> Cors:
    methods = [] if broken else row.allowed_methods
    headers = [] if broken else row.allowed_headers
    exposed = [] if broken else row.exposed_headers
    preflight = [
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        ("Access-Control-Allow-Headers", ", ".join(headers)),
        ("Access-Control-Max-Age", str(row.max_age)),
    ]
    # "*" never goes with credentials (Fetch, section 3.2.5).
    credentialed = row.allow_credentials and not broken and not permitted.any
    credentials = _rendered("Allow-Credentials", "true" if credentialed else "")
    return Cors(
        pk=row.pk,
        name=row.name,
        origins=permitted,
        methods=SAFELISTED_METHODS | frozenset(methods),
        headers=frozenset(name.lower() for name in headers),
        refuse_foreign=row.refuse_foreign_origins or broken,
        preflight_headers=tuple((name, value) for name, value in preflight if value),
        preflight_grants=credentials,
        response_grants={**credentials, **_rendered("Expose-Headers", ", ".join(exposed))},
    )


def _rendered(name: str, value: str) -> dict[str, tuple[str, str]]:
    name = f"Access-Control-{name}"
    return {name.lower(): (name, value)} if value else {}


def _permitted(
    grants: Grants,
    origins: Iterable[OriginRow],
    refused: dict[Any, tuple[RowProblem, ...]],
) -> Iterator[origin_rules.OriginPattern]:
    """Yield the patterns that match; what is wrong with the others is put into ``refused``."""
    broken, allow_credentials, allow_insecure, allow_public_suffixes = grants
    for origin in paced(origins):
        problems = Problems()
        if problems.of(origin):
            refused[origin.pk] = tuple(problems.found)
        elif not broken:
            pattern = origin_rules.parse_pattern(origin.pattern)
            dangers = origin_rules.check_patterns(
                [pattern],
                allow_credentials=allow_credentials,
                allow_insecure=allow_insecure,
                allow_public_suffixes=allow_public_suffixes,
            )
            if problems.of(origin, [error.at("pattern") for error in dangers]):
                refused[origin.pk] = tuple(problems.found)
            else:
                yield pattern
