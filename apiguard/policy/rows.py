"""What is compiled, and what is collected on the way."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import BrokenReference, PolicyError
from ..models import (
    AllowedOrigin,
    CorsPolicy,
    HeaderPolicy,
    JwtIssuer,
    Limit,
    LimitOverride,
    PolicyModel,
    ResponseHeader,
    Route,
    Tier,
)
from .snapshot import RowProblem


@dataclass(frozen=True, slots=True)
class Rows:
    """All policy rows but clients and keys, as model instances, relations by id."""

    routes: tuple[Route, ...] = ()
    cors_policies: tuple[CorsPolicy, ...] = ()
    origins: tuple[AllowedOrigin, ...] = ()
    header_policies: tuple[HeaderPolicy, ...] = ()
    headers: tuple[ResponseHeader, ...] = ()
    tiers: tuple[Tier, ...] = ()
    limits: tuple[Limit, ...] = ()
    overrides: tuple[LimitOverride, ...] = ()
    issuers: tuple[JwtIssuer, ...] = ()


# Where the rows of each member stand.
MODELS: dict[str, type[PolicyModel]] = {
    "routes": Route,
    "cors_policies": CorsPolicy,
    "origins": AllowedOrigin,
    "header_policies": HeaderPolicy,
    "headers": ResponseHeader,
    "tiers": Tier,
    "limits": Limit,
    "overrides": LimitOverride,
    "issuers": JwtIssuer,
}


class Problems:
    """Collects what is wrong, row by row."""

    def __init__(self) -> None:
        self.found: list[RowProblem] = []

    def of(self, row: PolicyModel, errors: Iterable[PolicyError] | None = None) -> list[RowProblem]:
        """Note the row's own errors, or these ones; return what was noted."""
        found = list(row.problems() if errors is None else errors)
        if not found:
            return []  # As nearly every row.
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
    """One mistake for every (field, primary key, known ones) that points at nothing."""
    return [
        BrokenReference("missing_row", pk, "The row it refers to is missing.", "", field=field)
        for field, pk, known in references
        if pk is not None and pk not in known
    ]
