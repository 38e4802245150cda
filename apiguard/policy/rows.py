"""What is compiled, and what is collected on the way."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import BrokenReference, PolicyError
from ..models import (
    AllowedOrigin,
    BlockedNetwork,
    CompiledModel,
    CorsPolicy,
    HeaderPolicy,
    JwtIssuer,
    Limit,
    PolicyModel,
    ResponseHeader,
    Route,
    Tier,
)
from ..rules.origins import pattern_errors
from .snapshot import RowProblem


class OriginRow(NamedTuple):
    """An allowed origin, without the weight of a model instance: there may be very many."""

    pk: Any
    policy_id: Any
    pattern: Any
    enabled: Any
    note: Any

    @classmethod
    def of(cls, row: AllowedOrigin | OriginRow) -> OriginRow:
        """Return the row itself, or the same made of an instance."""
        if isinstance(row, OriginRow):
            return row
        return cls(*(getattr(row, column) for column in cls._fields))

    def instance(self) -> AllowedOrigin:
        """Return the same row as a model instance."""
        return AllowedOrigin(**self._asdict())

    def problems(self) -> list[PolicyError]:
        """Return what the instance's ``problems()`` finds, at a fraction of its cost."""
        typed = type(self.pattern) is str and type(self.enabled) is bool and type(self.note) is str
        if typed and not pattern_errors(self.pattern):
            return []
        return self.instance().problems()


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that are compiled: model instances, relations by id."""

    routes: tuple[Route, ...] = ()
    cors_policies: tuple[CorsPolicy, ...] = ()
    origins: tuple[AllowedOrigin | OriginRow, ...] = ()
    header_policies: tuple[HeaderPolicy, ...] = ()
    headers: tuple[ResponseHeader, ...] = ()
    tiers: tuple[Tier, ...] = ()
    limits: tuple[Limit, ...] = ()
    issuers: tuple[JwtIssuer, ...] = ()
    blocks: tuple[BlockedNetwork, ...] = ()


# Where the rows of each member stand.
MODELS: dict[str, type[CompiledModel]] = {
    "routes": Route,
    "cors_policies": CorsPolicy,
    "origins": AllowedOrigin,
    "header_policies": HeaderPolicy,
    "headers": ResponseHeader,
    "tiers": Tier,
    "limits": Limit,
    "issuers": JwtIssuer,
    "blocks": BlockedNetwork,
}


@dataclass(frozen=True, slots=True)
class Delta:
    """How the rows of one revision differ from those of another.

    Attributes:
        written: rows that were added or changed.
        deleted: by member of ``Rows``, the primary keys of those that are gone. The
            rows that went with them (the limits of a tier) need not be among them.
    """

    written: Rows
    deleted: Mapping[str, frozenset[Any]] = field(default_factory=dict)

    def gone(self, member: str) -> frozenset[Any]:
        """Return primary keys of the rows of this member that are gone."""
        return self.deleted.get(member, frozenset())


class Problems:
    """Collects what is wrong, row by row."""

    def __init__(self) -> None:
        self.found: list[RowProblem] = []

    def of(
        self, row: PolicyModel | OriginRow, errors: Iterable[PolicyError] | None = None
    ) -> list[RowProblem]:
        """Note the row's own errors, or these ones; return what was noted."""
        found = list(row.problems() if errors is None else errors)
        if not found:
            return []  # As nearly every row.
        if isinstance(row, OriginRow):
            row = row.instance()
        noted = [
            RowProblem(row._meta.model_name or "", row.pk, _name(row), error) for error in found
        ]
        self.found += noted
        return noted


def _name(row: PolicyModel) -> str:
    try:
        return str(row)
    except (TypeError, ValueError):  # What it is called by is not text.
        return f"#{row.pk}"


def missing(*references: tuple[str, Any, Container[Any]]) -> list[PolicyError]:
    """Return one mistake for every (field, primary key, known ones) that points at nothing."""
    return [
        BrokenReference("missing_row", pk, "The row it refers to is missing.", "", field=field)
        for field, pk, known in references
        if pk is not None and pk not in known
    ]
