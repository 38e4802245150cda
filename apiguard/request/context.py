"""``request.apiguard``: what is known about one request, filled in on its way.

One snapshot and one set of settings from start to end. A request is verified
once and counted once, whether in the middleware or in DRF; what was found out is
kept here for the other one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, Literal, NamedTuple

from ..conf import Settings
from ..policy.records import ClientRecord, KeyRecord
from ..policy.snapshot import RoutePolicy, Snapshot
from ..rules.limits import Decision
from ..rules.networks import Address, counted_as, network_of
from .challenge import Scheme
from .facts import Facts
from .holds import Holds
from .stopwatch import Stopwatch
from .users import CredentialUser
from .verdict import ADMITTED, Verdict

_UNKNOWN: Any = object()


class Credential(NamedTuple):
    """A verified credential.

    ``auth`` is the key's record or the token's claims; ``user`` the row that
    the credential stands for, or a user without a row.
    """

    kind: Literal["key", "token"]
    scheme: Scheme
    principal: str
    auth: KeyRecord | Mapping[str, Any]
    scopes: frozenset[str]
    tier_pk: Any
    client: ClientRecord | None
    user: Any

    @property
    def has_row(self) -> bool:
        """Whether the credential stands for a row of the user table."""
        return not isinstance(self.user, CredentialUser)


class GuardContext:
    """One request's way through; what ``request.apiguard`` is.

    Attributes:
        request_id: the id on the response, in logs and in refusals.
        route: the route's policy, or ``None`` where nothing is guarded.
        enforced: whether the route enforces what it decides.
        credential: the verified credential, or ``None``.
        verdict: what was decided.
        decision: how limits decided, or ``None`` if nothing was counted.
    """

    credential: Credential | None = None
    # Whether credentials were judged, whether limits were checked.
    identified = False
    counted = False
    reached_view = False
    # Whether it is counted after its view, because nothing can be refused for it.
    is_counted_late = False
    # Whether the view's own permission wants a credential of apiguard's.
    is_wanted_by_view = False
    # Whether its refusal is recorded.
    is_recorded = False
    # For people; no stage judges by it.
    path = ""
    # Slug of the tier that the request was counted in.
    tier = ""
    # The origin that may read the response, as it is to be sent.
    cors_origin: str | None = None
    exception: Exception | None = None
    # Whether a middleware behind the guard failed; which exception it was is not known.
    failed_behind = False
    # Measures the guard, where metrics are kept.
    stopwatch: Stopwatch | None = None
    # A body that was read ahead; closed with the response.
    spool: IO[bytes] | None = None
    # Units and slots that the request holds until it has ended.
    holds: Holds | None = None
    # Whether the middleware learns when the request has ended.
    is_completed = True
    verdict: Verdict = ADMITTED
    decision: Decision | None = None
    _address: Address | None = _UNKNOWN
    _principal = ""

    def __init__(
        self,
        facts: Facts,
        settings: Settings,
        snapshot: Snapshot,
        route: RoutePolicy | None,
        request_id: str = "",
    ) -> None:
        self.facts = facts
        self.settings = settings
        self.snapshot = snapshot
        self.route = route
        self.request_id = request_id
        self.enforced = route is not None and route.enforced

    @property
    def address(self) -> Address | None:
        """The client's address, as far as trusted proxies tell."""
        if self._address is _UNKNOWN:
            self._address = self.facts.address(self.settings)
        return self._address

    def network(self) -> str:
        """Return the network of the client's address; "" where that is not known."""
        return "" if self.address is None else network_of(self.address)

    @property
    def principal(self) -> str:
        """The name that the request is counted under, such as "client:7" or "ip:192.0.2.1"."""
        if self._principal:
            return self._principal
        if self.credential is not None:
            return self.credential.principal
        return counted_as(self.address)

    @principal.setter
    def principal(self, value: str) -> None:
        self._principal = value

    @property
    def principal_for_people(self) -> str:
        """The same, with the network instead of an address that must not be shown."""
        if self.address is None or self.settings.refusals_address == "full":
            return self.principal
        return self.principal.replace(str(self.address), network_of(self.address))

    @property
    def client(self) -> ClientRecord | None:
        """The client whose key was sent."""
        return None if self.credential is None else self.credential.client

    @property
    def auth(self) -> KeyRecord | Mapping[str, Any] | None:
        """The key's record, or the token's claims."""
        return None if self.credential is None else self.credential.auth

    @property
    def claims(self) -> Mapping[str, Any] | None:
        """The token's claims; ``None`` for keys."""
        if self.credential is None or self.credential.kind != "token":
            return None
        return self.credential.auth  # type: ignore[return-value]

    @property
    def scopes(self) -> frozenset[str]:
        """What the credential may do; empty without one."""
        return frozenset() if self.credential is None else self.credential.scopes
