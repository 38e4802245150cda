"""Limits, the decision of a counter, and the headers that report it.

Times on a decision are microseconds on the store's clock; everything that
leaves in a header is whole seconds, rounded up, so that a client which waits
as long as Retry-After says never comes too early.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, NamedTuple

from .rates import IN_FLIGHT, REQUESTS, Calendar, Rate

MICROSECONDS = 1_000_000

Header = tuple[str, str]

# draft-ietf-httpapi-ratelimit-headers-10 has names for these; requests are what it means without.
_QUOTA_UNITS = frozenset({"content-bytes", IN_FLIGHT})


@dataclass(frozen=True, slots=True)
class Limit:
    """One line of a tier: ``amount`` cost units per window or calendar quota, or at once.

    ``period`` is in seconds and 0 for quotas; ``calendar`` is empty for
    windows; a ``shadow`` limit is counted but never refuses. A ``concurrent`` limit
    counts requests in flight, each for ``period`` seconds at most. ``route_pk`` is
    given where the limit counts each route by itself.
    """

    pk: int
    name: str
    kind: Literal["window", "quota", "concurrent"]
    amount: int
    period: int
    calendar: Calendar = ""
    shadow: bool = False
    on_store_failure: str = "local"
    unit: str = REQUESTS
    per_route: bool = False
    route_pk: int | None = None
    # Parts of response headers, computed once.
    quoted: str = field(init=False, compare=False, repr=False)
    policy_item: str = field(init=False, compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        quoted, window = _sf_string(self.name), self.window_seconds
        item = f"{quoted};q={self.amount}"
        if self.unit in _QUOTA_UNITS:
            item += f";qu={_sf_string(self.unit)}"
        object.__setattr__(self, "quoted", quoted)
        object.__setattr__(self, "policy_item", item if window is None else f"{item};w={window}")
        # Equal limits have equal numbers; decisions are looked up by their limits.
        numbers = (self.pk, self.amount, self.period, self.shadow, self.route_pk)
        object.__setattr__(self, "_hash", hash(numbers))

    def __hash__(self) -> int:
        return self._hash

    @property
    def rate(self) -> Rate:
        """The limit as people say it."""
        at_once = self.kind == "concurrent"
        unit = REQUESTS if at_once else self.unit
        return Rate(self.amount, self.period or None, self.calendar, unit, at_once)

    @property
    def key(self) -> str:
        """What the limit is counted under, beside the principal."""
        return str(self.pk) if self.route_pk is None else f"{self.pk}:{self.route_pk}"

    @property
    def is_held(self) -> bool:
        """Whether a request holds units that it gives back, or adds to, when it has ended."""
        return self.unit != REQUESTS

    @property
    def window_seconds(self) -> int | None:
        """The length in seconds; None for a calendar month and for requests in flight."""
        if self.kind == "window":
            return self.period
        return 86400 if self.calendar == "day" else None


class Counted(NamedTuple):
    """What became of one request at one limit.

    ``used`` is in cost units, after the decision. ``wait`` is microseconds
    until this cost would fit (0: it fits now). ``reset`` is microseconds until
    some quota returns, None when nothing is used.
    """

    limit: Limit
    allowed: bool
    used: int
    wait: int
    reset: int | None

    @property
    def remaining(self) -> int:
        """Cost units that are left."""
        left = self.limit.amount - self.used
        return left if left > 0 else 0


class Decision(NamedTuple):
    """The decision about one request, over all limits of its principal, in their order.

    ``now`` is epoch microseconds on the store's clock. ``raw`` holds three numbers
    per limit, one limit behind the other: used, wait, reset (0: nothing is used). Of
    an admitted request, a shadow limit alone may be exceeded.

    ``reserved`` units were counted ahead, besides those in ``raw``, and may be used
    without another check. ``may_return``: of a denied request, units that others have
    reserved may be given back within about a second, before any wait is over.
    ``is_local``: it was counted in this process's memory, because the store is away.
    """

    allowed: bool
    now: int
    limits: tuple[Limit, ...] = ()
    raw: tuple[int, ...] = ()
    reserved: int = 0
    may_return: bool = False
    is_local: bool = False

    @classmethod
    def of(cls, allowed: bool, now: int, counted: Iterable[Counted]) -> Decision:
        """Build a decision from one row per limit."""
        rows = tuple(counted)
        raw = chain.from_iterable((one.used, one.wait, one.reset or 0) for one in rows)
        return cls(allowed, now, tuple(one.limit for one in rows), tuple(raw))

    def updated(self, later: Decision) -> Decision:
        """This decision with the numbers of a later one, which has some of its limits or others."""
        rows = {one.limit: one for one in (*self.counted, *later.counted)}
        return Decision.of(later.allowed, later.now, rows.values())

    @property
    def counted(self) -> tuple[Counted, ...]:
        """One row per limit."""
        used, waits, resets = self.raw[::3], self.raw[1::3], self.raw[2::3]
        return tuple(
            Counted(limit, not wait, units, wait, reset or None)
            for limit, units, wait, reset in zip(self.limits, used, waits, resets, strict=True)
        )

    @property
    def shadow_violated(self) -> tuple[Counted, ...]:
        """The shadow limits that would have refused an admitted request."""
        if not self.allowed or not any(self.raw[1::3]):
            return ()
        return tuple(one for one in self.counted if not one.allowed)

    @property
    def visible(self) -> tuple[Counted, ...]:
        """All but shadow limits: those that response headers show."""
        return tuple([one for one in self.counted if not one.limit.shadow])

    @property
    def violated(self) -> tuple[Counted, ...]:
        """The visible limits that are exceeded."""
        if self.allowed:
            return ()
        return tuple([one for one in self.visible if not one.allowed])

    @property
    def retry_after(self) -> int:
        """Seconds until the cost fits every limit, at least 1; 0 for an allowed request."""
        if not self.violated:
            return 0
        return max(1, _ceil_seconds(max(one.wait for one in self.violated)))

    @property
    def closest(self) -> Counted | None:
        """The visible limit that is closest to its end, or the violated one that waits longest.

        Ties go to the one that comes first in the tier; None without visible limits. What is
        in flight says nothing about how often a client may call.
        """
        if self.violated:
            return max(self.violated, key=lambda one: one.wait)
        # Of two alike ``min`` takes the first.
        lasting = [one for one in self.visible if one.limit.kind != "concurrent"]
        return min(lasting, key=_share_left, default=None)


def _share_left(one: Counted) -> float:
    return one.remaining / one.limit.amount


def rate_limit_headers(decision: Decision, families: Collection[str]) -> dict[str, Header]:
    """Return the rate-limit headers of a response, for the ``families`` that are switched on.

    ``x-ratelimit`` and ``draft-6`` describe the closest limit, which is one on requests in
    flight only where that refuses; ``draft-10``
    (draft-ietf-httpapi-ratelimit-headers-10) lists all as RFC 9651 lists.
    Empty where no visible limit was counted.

    Returns:
        Lower-case name -> (name, value).
    """
    policy, left = [], []
    closest, least = None, 2.0
    raw, at = decision.raw, 0
    for limit in decision.limits:
        used, _, reset = raw[at : at + 3]
        at += 3
        if limit.shadow:
            continue
        remaining = limit.amount - used if used < limit.amount else 0
        item = f"{limit.quoted};r={remaining}"
        left.append(f"{item};t={-(-reset // MICROSECONDS)}" if reset else item)
        policy.append(limit.policy_item)
        share = remaining / limit.amount
        if share < least and limit.kind != "concurrent":
            closest, least = (limit.amount, remaining, reset), share
    if not policy:
        return {}
    if not decision.allowed and (one := decision.closest):
        closest = (one.limit.amount, one.remaining, one.reset or 0)
    headers = {} if closest is None else _of_one(*closest, decision.now, families)
    if "draft-10" in families:
        headers["ratelimit-policy"] = ("RateLimit-Policy", ", ".join(policy))
        headers["ratelimit"] = ("RateLimit", ", ".join(left))
    return headers


def _of_one(
    amount: int, remaining: int, reset: int, now: int, families: Collection[str]
) -> dict[str, Header]:
    limit, left = str(amount), str(remaining)
    headers: dict[str, Header] = {}
    if "x-ratelimit" in families:
        headers["x-ratelimit-limit"] = ("X-RateLimit-Limit", limit)
        headers["x-ratelimit-remaining"] = ("X-RateLimit-Remaining", left)
        headers["x-ratelimit-reset"] = ("X-RateLimit-Reset", str(-(-(now + reset) // MICROSECONDS)))
    if "draft-6" in families:
        headers["ratelimit-limit"] = ("RateLimit-Limit", limit)
        headers["ratelimit-remaining"] = ("RateLimit-Remaining", left)
        headers["ratelimit-reset"] = ("RateLimit-Reset", str(-(-reset // MICROSECONDS)))
    return headers


def _sf_string(text: str) -> str:
    """``text`` as a String of RFC 9651 section 3.3.3; the caller's text is ASCII."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _ceil_seconds(microseconds: int) -> int:
    return -(-microseconds // MICROSECONDS)
