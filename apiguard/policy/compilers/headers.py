"""Header policies, rendered. One with an error breaks the routes that use it.

Of several rows for one header the one that names a response's media type most
closely decides: exactly, by suffix, by ``type/*``, ``*/*``, one for all types.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from ...models import HeaderPolicy, ResponseHeader
from ...rules.media import MediaType, closeness, essence_of, parse_essence_range
from ..groups import Group, Groups, Writes
from ..pacing import paced
from ..rows import Delta, Problems
from ..snapshot import CACHING, HeaderWrites, Part, RouteHeaders

# Content-Type values of a policy's responses whose writes are remembered.
REMEMBERED_TYPES = 64

_Mode = ResponseHeader.Mode
_Row = tuple[ResponseHeader, tuple[MediaType, ...]]


@dataclass(frozen=True, slots=True)
class HeaderPolicies:
    """All header policies, compiled. A part is ``None`` for headers of one that is missing."""

    groups: Groups[HeaderPolicy, ResponseHeader] = field(default_factory=Groups)
    parts: dict[Any, Part[RouteHeaders | None]] = field(default_factory=dict)

    def after(self, delta: Delta) -> tuple[HeaderPolicies, set[Any]]:
        """Return a successor, and the primary keys of the policies that were compiled anew."""
        written = delta.written
        groups, touched = self.groups.after(
            Writes(written.header_policies, delta.gone("header_policies")),
            Writes(written.headers, delta.gone("headers")),
            "policy_id",
        )
        if not touched:
            return self, touched
        parts = dict(self.parts)
        for pk in paced(touched):
            parts.pop(pk, None)
            if pk in groups.by_pk:
                parts[pk] = _part(groups.by_pk[pk])
        return replace(self, groups=groups, parts=parts), touched


def _part(group: Group[HeaderPolicy, ResponseHeader]) -> Part[RouteHeaders | None]:
    problems = Problems()
    if group.row is not None:
        problems.of(group.row)
    good = [row for row in group.members if not problems.of(row)]
    return Part(None if group.row is None else _rendered(good), tuple(problems.found))


def _rendered(rows: list[ResponseHeader]) -> RouteHeaders:
    always = [row for row in rows if row.condition != ResponseHeader.Condition.HTTPS]
    if not any(row.content_types for row in rows):
        return RouteHeaders(http=_writes(always), https=_writes(rows))
    http, https = _ranged(always), _ranged(rows)

    @lru_cache(maxsize=REMEMBERED_TYPES)
    def by_type(content_type: str) -> RouteHeaders:
        media = essence_of(content_type)
        return RouteHeaders(
            http=_writes(_chosen(http, media)), https=_writes(_chosen(https, media))
        )

    return replace(by_type(""), by_type=by_type)


def _ranged(rows: list[ResponseHeader]) -> list[_Row]:
    return [(row, tuple(map(parse_essence_range, row.content_types))) for row in rows]


def _chosen(rows: list[_Row], media: MediaType | None) -> list[ResponseHeader]:
    """Of the rows for each header, those that name the response's type most closely.

    A response without a type, such as 304, replaces what a cache holds of the
    page (RFC 9111 section 3.2), so it says nothing of a header that depends
    on the type.
    """
    if media is None:
        typed = {row.name.lower() for row, ranges in rows if ranges}
        return [row for row, _ in rows if row.name.lower() not in typed]
    scored = [(row, _score(ranges, media)) for row, ranges in rows]
    best: dict[str, int] = {}
    for row, score in scored:
        best[row.name.lower()] = max(score, best.get(row.name.lower(), 1))
    return [row for row, score in scored if score == best[row.name.lower()]]


def _score(ranges: tuple[MediaType, ...], media: MediaType) -> int:
    """0 where the row is for other types, 1 where it is for all."""
    if not ranges:
        return 1
    closest = max(closeness(wanted, media) for wanted in ranges)
    return closest + 1 if closest else 0


def _writes(rows: Iterable[ResponseHeader]) -> HeaderWrites:
    """Return one write that does what the rows do one after the other."""
    last: dict[str, tuple[str, tuple[str, str]]] = {}
    for row in rows:
        name, header = row.name.lower(), (row.name, row.value)
        before, _ = last.get(name, (None, None))
        if row.mode != _Mode.DEFAULT:
            last[name] = (row.mode, header)
        elif before == _Mode.REMOVE:
            # What was removed is absent, so the default is what remains.
            last[name] = (_Mode.FORCE, header)
        elif before is None:
            last[name] = (_Mode.DEFAULT, header)

    def of(mode: str) -> dict[str, tuple[str, str]]:
        return {name: header for name, (its, header) in last.items() if its == mode}

    defaults = of(_Mode.DEFAULT)
    return HeaderWrites(
        remove=tuple(of(_Mode.REMOVE)),
        force=of(_Mode.FORCE),
        default={name: header for name, header in defaults.items() if name not in CACHING},
        caching={name: header for name, header in defaults.items() if name in CACHING},
    )
