"""The policy of one revision, compiled: what a request is judged by.

Everything here is frozen and shared between threads; what can be computed
once is computed by ``compile``. Only the keyring grows, within bounds: it holds
the key records that requests need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, Generic, TypeVar

from ..errors import PolicyError
from ..rules.blocks import BlockTable
from ..rules.jwt import TokenRules
from ..rules.key_set import KeySet
from ..rules.limits import Limit
from ..rules.media import MediaType
from ..rules.origins import OriginSet
from ..rules.paths import PrefixTable
from ..rules.rates import IN_FLIGHT, REQUESTS
from .keyring import Keyring


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One mistake, and the row that holds it."""

    model: str
    pk: Any
    name: str
    error: PolicyError

    def __str__(self) -> str:
        at = f" ({self.error.field})" if self.error.field else ""
        return f"{self.model} {self.name!r}{at}: {self.error}"


T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Part(Generic[T_co]):
    """What one row with those that belong to it comes to, and what is wrong with them."""

    value: T_co
    problems: tuple[RowProblem, ...]


@dataclass(frozen=True, slots=True)
class Cors:
    """A CORS policy; header values as they are sent."""

    pk: Any
    name: str
    origins: OriginSet
    methods: frozenset[str]
    headers: frozenset[str]
    refuse_foreign: bool
    preflight_headers: tuple[tuple[str, str], ...]
    # Beside Access-Control-Allow-Origin, which names the request's own origin.
    preflight_grants: Rendered
    response_grants: Rendered


# One decision about caching: a view that makes it makes all of it.
CACHING = frozenset({"cache-control", "pragma", "expires"})

Rendered = Mapping[str, tuple[str, str]]
"""Response headers as Django keeps them: lower-case name -> (name, value)."""


@dataclass(frozen=True, slots=True)
class HeaderWrites:
    """What a header policy does to a response.

    ``caching`` are defaults too, but one group: a view that decides about
    caching decides all of it.
    """

    remove: tuple[str, ...] = ()
    force: Rendered = field(default_factory=dict)
    default: Rendered = field(default_factory=dict)
    caching: Rendered = field(default_factory=dict)
    all_defaults: Rendered = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "all_defaults", {**self.default, **self.caching})


@dataclass(frozen=True, slots=True)
class RouteHeaders:
    """The same for requests that came over http, and over https.

    ``by_type`` says it for a response's Content-Type (empty: it has none); it
    is ``None`` where all rows are for all media types.
    """

    http: HeaderWrites = HeaderWrites()
    https: HeaderWrites = HeaderWrites()
    by_type: Callable[[str], RouteHeaders] | None = None


@dataclass(frozen=True, slots=True)
class TierPolicy:
    """The limits of a tier, by the route that a request takes."""

    pk: Any
    slug: str
    name: str
    by_route: Mapping[Any, tuple[Limit, ...]]
    everywhere: tuple[Limit, ...]
    broken: bool = False
    # Whether all limits count requests, on all routes alike.
    is_plain: bool = True

    @property
    def all_limits(self) -> tuple[Limit, ...]:
        """The limits of all routes."""
        limits = {limit.pk: limit for limit in chain(self.everywhere, *self.by_route.values())}
        return tuple(limits[pk] for pk in sorted(limits))

    def limits_at(self, route_pk: Any) -> tuple[Limit, ...]:
        """Return the limits that count a request of this route, in tier order."""
        return self.by_route.get(route_pk, self.everywhere)


@dataclass(frozen=True, slots=True)
class IssuerPolicy:
    """An enabled, valid issuer.

    Where there is a ``jwks_url``, ``keys`` are those of the stored copy that was
    fetched at ``fetched_at``; what is held now, ``jwks.py`` knows.
    """

    pk: Any
    name: str
    rules: TokenRules
    keys: KeySet = field(repr=False)
    jwks_url: str
    fetched_at: datetime | None
    tier_pk: Any
    tier_claim: str
    scope_claim: str
    user_field: str


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """What is enforced under one path prefix."""

    pk: Any
    name: str
    prefix: str
    mode: str
    access: str
    required_scopes: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    allow: str = ""
    accepts: tuple[MediaType, ...] = ()
    accept: str = ""
    produces: tuple[MediaType, ...] = ()
    max_body_bytes: int | None = None
    cost: int = 1
    reserve: tuple[tuple[str, int], ...] = ()
    cors: Cors | None = None
    headers: RouteHeaders = RouteHeaders()
    anonymous_tier: Any = None
    user_tier: Any = None
    broken: tuple[RowProblem, ...] = ()

    @property
    def enforced(self) -> bool:
        """False where the route only observes."""
        return self.mode != "observe"

    def cost_of(self, unit: str) -> int | None:
        """What a request takes of a unit beforehand; None where limits of it do not hold here."""
        if unit == REQUESTS:
            return self.cost
        return 1 if unit == IN_FLIGHT else dict(self.reserve).get(unit)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All policy of one revision.

    ``sections`` is what ``compile`` shares with a successor; nothing else reads it.
    ``unlocked`` names revisions and the addresses whose failures they forget.
    """

    revision: int
    stamp: str
    routes: PrefixTable[RoutePolicy]
    tiers: Mapping[Any, TierPolicy]
    tiers_by_slug: Mapping[str, TierPolicy]
    issuers: Mapping[str, IssuerPolicy]
    blocks: BlockTable = field(default_factory=BlockTable)
    problems: tuple[RowProblem, ...] = ()
    keyring: Keyring = field(default_factory=Keyring)
    sections: Any = field(default=None, repr=False)
    unlocked: tuple[tuple[int, str], ...] = field(default=(), compare=False)


def empty(revision: int = 0, stamp: str = "") -> Snapshot:
    """No policy at all: no route, so nothing is guarded."""
    return Snapshot(
        revision=revision,
        stamp=stamp,
        routes=PrefixTable({}),
        tiers={},
        tiers_by_slug={},
        issuers={},
    )
