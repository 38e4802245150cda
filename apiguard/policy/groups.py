"""Rows with the rows that belong to them: tiers with limits, header policies with headers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Generic, TypeVar

from ..models import CompiledModel

R = TypeVar("R", bound=CompiledModel)
M = TypeVar("M", bound=CompiledModel)
W = TypeVar("W", bound=CompiledModel)


def pk_order(pk: Any) -> tuple[str, Any]:
    """Return what to sort primary keys by, whatever a column holds where one should stand."""
    return type(pk).__name__, pk


@dataclass(frozen=True, slots=True)
class Writes(Generic[W]):
    """What happened to the rows of one model: those written, and primary keys of those gone."""

    written: Sequence[W]
    gone: Collection[Any]


@dataclass(frozen=True, slots=True)
class Group(Generic[R, M]):
    """A row with its members, in the order of their primary keys.

    ``row`` is ``None`` where members refer to a row that is missing.
    """

    row: R | None
    members: tuple[M, ...] = ()


@dataclass(frozen=True, slots=True)
class Groups(Generic[R, M]):
    """All rows of two models; immutable.

    Attributes:
        by_pk: the group of each row.
        group_of: which group a member stands in; both by primary key.
    """

    by_pk: Mapping[Any, Group[R, M]] = field(default_factory=dict)
    group_of: Mapping[Any, Any] = field(default_factory=dict)

    def members(self) -> Iterator[M]:
        """Return the members of all groups."""
        return chain.from_iterable(group.members for group in self.by_pk.values())

    def after(
        self, rows: Writes[R], members: Writes[M], column: str
    ) -> tuple[Groups[R, M], set[Any]]:
        """Return a successor, and the primary keys of the groups that differ.

        ``column`` is where a member holds the primary key of its group.
        """
        changes = _Regrouping(self)
        changes.remove_members([*members.gone, *(member.pk for member in members.written)])
        changes.remove_rows(rows.gone)
        for row in rows.written:
            changes.open(row.pk).row = row
        changes.add_members(members.written, column)
        return changes.done()


@dataclass(slots=True)
class _Open(Generic[R, M]):
    row: R | None
    members: dict[Any, M]


class _Regrouping(Generic[R, M]):
    """A successor in the making."""

    def __init__(self, before: Groups[R, M]) -> None:
        self._before = before
        self._group_of = dict(before.group_of)
        self._opened: dict[Any, _Open[R, M]] = {}

    def open(self, pk: Any) -> _Open[R, M]:
        if pk not in self._opened:
            held = self._before.by_pk.get(pk)
            row, members = (None, ()) if held is None else (held.row, held.members)
            self._opened[pk] = _Open(row, {member.pk: member for member in members})
        return self._opened[pk]

    def remove_members(self, pks: Collection[Any]) -> None:
        for pk in pks:
            if pk in self._group_of:
                self.open(self._group_of.pop(pk)).members.pop(pk, None)

    def remove_rows(self, pks: Collection[Any]) -> None:
        """Remove rows together with their members."""
        for pk in pks:
            for member in self.open(pk).members:
                self._group_of.pop(member, None)
            self._opened[pk] = _Open(None, {})

    def add_members(self, members: Sequence[M], column: str) -> None:
        for member in members:
            pk = getattr(member, column)
            self.open(pk).members[member.pk] = member
            self._group_of[member.pk] = pk

    def done(self) -> tuple[Groups[R, M], set[Any]]:
        if not self._opened:
            return self._before, set()
        by_pk = dict(self._before.by_pk)
        for pk, group in self._opened.items():
            by_pk.pop(pk, None)
            if group.row is not None or group.members:
                in_order = sorted(group.members, key=pk_order)
                by_pk[pk] = Group(group.row, tuple(group.members[key] for key in in_order))
        return Groups(by_pk, self._group_of), set(self._opened)
