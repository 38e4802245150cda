"""What is limited, what a counter decided, and how a response says so.

Times on a decision are microseconds on the store's clock; everything that
leaves in a header is whole seconds, rounded up, so that a client which waits
as long as it is told never comes too early.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from apiguard.rules.rates import Calendar

MICROSECONDS = 1_000_000

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Limit:
    """One line of a tier: ``amount`` cost units per window or calendar quota.

    ``period`` is in seconds and 0 for quotas; ``calendar`` is empty for
    windows; a ``shadow`` limit is counted but never refuses.
    """

    pk: int
    name: str
    kind: Literal["window", "quota"]
    amount: int
    period: int
    calendar: Calendar = ""
    shadow: bool = False
    on_store_failure: str = "local"

    @property
    def window_seconds(self) -> int | None:
        """The length in seconds; None for a calendar month, which has no fixed one."""
        if self.kind == "window":
            return self.period
        return 86400 if self.calendar == "day" else None


@dataclass(frozen=True, slots=True)
class Counted:
    """What one limit said about one request.

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
        return max(0, self.limit.amount - self.used)


@dataclass(frozen=True, slots=True)
class Decision:
    """What all limits of a principal said, in the order they were given.

    ``now`` is epoch microseconds on the store's clock.
    """

    allowed: bool
    now: int
    counted: tuple[Counted, ...] = ()

    @property
    def visible(self) -> tuple[Counted, ...]:
        return tuple(one for one in self.counted if not one.limit.shadow)

    @property
    def violated(self) -> tuple[Counted, ...]:
        return tuple(one for one in self.visible if not one.allowed)

    @property
    def shadow_violated(self) -> tuple[Counted, ...]:
        return tuple(one for one in self.counted if one.limit.shadow and not one.allowed)

    @property
    def retry_after(self) -> int:
        """Seconds until the cost fits every limit, at least 1; 0 for an allowed request."""
        if not self.violated:
            return 0
        return max(1, _ceil_seconds(max(one.wait for one in self.violated)))

    @property
    def closest(self) -> Counted | None:
        """The visible limit that is closest to its end, or the violated one that waits longest.

        Ties go to the one that comes first in the tier; None without visible limits.
        """
        if self.violated:
            return max(self.violated, key=lambda one: one.wait)
        return min(self.visible, key=lambda one: one.remaining / one.limit.amount, default=None)


def rate_limit_headers(decision: Decision, families: Collection[str]) -> list[Header]:
    """The rate-limit headers of a response, for the ``families`` that are switched on.

    ``x-ratelimit`` and ``draft-6`` describe the closest limit; ``draft-10``
    (draft-ietf-httpapi-ratelimit-headers-10) lists all as RFC 9651 lists.
    Empty where no visible limit was counted.
    """
    closest = decision.closest
    if closest is None:
        return []
    headers: list[Header] = []
    if "x-ratelimit" in families:
        headers += _x_ratelimit(decision, closest)
    if "draft-6" in families:
        headers += _draft_6(closest)
    if "draft-10" in families:
        headers += _draft_10(decision.visible)
    return headers


def _x_ratelimit(decision: Decision, closest: Counted) -> Iterator[Header]:
    yield "X-RateLimit-Limit", str(closest.limit.amount)
    yield "X-RateLimit-Remaining", str(closest.remaining)
    yield "X-RateLimit-Reset", str(_ceil_seconds(decision.now + (closest.reset or 0)))


def _draft_6(closest: Counted) -> Iterator[Header]:
    yield "RateLimit-Limit", str(closest.limit.amount)
    yield "RateLimit-Remaining", str(closest.remaining)
    yield "RateLimit-Reset", str(_ceil_seconds(closest.reset or 0))


def _draft_10(visible: tuple[Counted, ...]) -> Iterator[Header]:
    yield "RateLimit-Policy", ", ".join(_policy_item(one.limit) for one in visible)
    yield "RateLimit", ", ".join(_limit_item(one) for one in visible)


def _policy_item(limit: Limit) -> str:
    item = f"{_sf_string(limit.name)};q={limit.amount}"
    window = limit.window_seconds
    return item if window is None else f"{item};w={window}"


def _limit_item(one: Counted) -> str:
    item = f"{_sf_string(one.limit.name)};r={one.remaining}"
    return item if one.reset is None else f"{item};t={_ceil_seconds(one.reset)}"


def _sf_string(text: str) -> str:
    """``text`` as a String of RFC 9651 section 3.3.3; the caller's text is ASCII."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _ceil_seconds(microseconds: int) -> int:
    return -(-microseconds // MICROSECONDS)
