"""One rate of another package, in the words of a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Final

from ...models.url_patterns import UrlPattern


class Counted(Flag):
    """Whose requests a rate counts."""

    ANONYMOUS = auto()
    USERS = auto()
    EVERYBODY = ANONYMOUS | USERS


# The names of keys that several packages have.
BY_KEY: Final = {
    "ip": Counted.ANONYMOUS,
    "user": Counted.USERS,
    "user_or_ip": Counted.EVERYBODY,
}
BY_ADDRESS: Final = (
    "it counts signed-in users by address, too. The limit counts anonymous callers alone"
)
ALL_METHODS: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Throttle:
    """A rate, who is counted, and where."""

    label: str
    """As people know it, such as "DRF: AnonRateThrottle"."""
    name: str
    """What the name of the limit is made of."""
    amount: int
    seconds: int
    counted: Counted
    patterns: tuple[UrlPattern, ...] | None = None
    """The URL patterns whose requests it counts; None: everywhere, or below ``prefix``."""
    prefix: str | None = None
    methods: frozenset[str] = ALL_METHODS
    """The methods that it counts; empty for all."""
    tier: str = ""
    """The tier of the other package that it is for; "" for the callers of no tier."""
    notices: tuple[str, ...] = ()
    """What the limit counts otherwise, for messages."""


@dataclass(slots=True)
class Reading:
    """What the readers found: rates, and a line for what a limit cannot say or says otherwise."""

    throttles: list[Throttle] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def texts(patterns: Sequence[UrlPattern]) -> str:
    """Return the paths of some patterns, for messages."""
    shown = sorted({pattern.text for pattern in patterns})
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more
