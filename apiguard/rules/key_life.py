"""The life of a key: what it can do at an instant, and what rotation makes of its times.

Pure arithmetic over instants. The admin, the commands and the lists of keys
word a key's state by ``key_state``; a request refuses exactly the keys whose
state here is not ``VALID`` (and those that come from a wrong network).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class KeyState(StrEnum):
    """What a key can do, in one word; what cannot be undone comes first."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    TEST_REFUSED = "test keys refused"
    CLIENT_DISABLED = "client disabled"
    PEPPER_GONE = "pepper gone"
    BROKEN = "broken"
    VALID = "valid"

    @property
    def is_final(self) -> bool:
        """Whether this key ended, so that a successor would bring back what was over."""
        return self in (KeyState.REVOKED, KeyState.EXPIRED)


def key_state(
    now: datetime,
    *,
    revoked: bool,
    not_before: datetime | None,
    expires_at: datetime | None,
    test_refused: bool = False,
    client_enabled: bool = True,
    pepper_known: bool = True,
    broken: bool = False,
) -> KeyState:
    """Return the first reason why a key is refused at ``now``, or ``VALID``."""
    reasons = (
        (revoked, KeyState.REVOKED),
        (expires_at is not None and expires_at <= now, KeyState.EXPIRED),
        (not_before is not None and not_before > now, KeyState.NOT_YET_VALID),
        (test_refused, KeyState.TEST_REFUSED),
        (not client_enabled, KeyState.CLIENT_DISABLED),
        (not pepper_known, KeyState.PEPPER_GONE),
        (broken, KeyState.BROKEN),
    )
    return next((state for holds, state in reasons if holds), KeyState.VALID)


@dataclass(frozen=True, slots=True)
class Succession:
    """The times of a key and of its successor.

    Attributes:
        old_ends: when the old key ends; ``None``: at once, it is revoked.
        begins: the successor's ``not_before``; ``None``: now.
        ends: the successor's ``expires_at``; ``None``: never.
    """

    old_ends: datetime | None
    begins: datetime | None
    ends: datetime | None


def succession(
    now: datetime,
    grace: timedelta,
    *,
    made: datetime,
    begins: datetime | None,
    ends: datetime | None,
    planned_end: datetime | None,
) -> Succession:
    """Return what rotating a key at ``now`` makes of it.

    The successor lives as long as the old key was meant to, from its own
    beginning; a beginning that lies ahead stays where it is. The old key ends
    when ``grace`` is over and never later than it would have anyway.

    Args:
        grace: how long the old key goes on; zero or less: it ends now.
        made: when the old key was made.
        begins: its ``not_before``.
        ends: its ``expires_at``, which an earlier rotation may have brought forward.
        planned_end: when it was meant to end before any rotation.
    """
    ahead = begins if begins is not None and begins > now else None
    lifetime = None if planned_end is None else planned_end - (begins or made)
    new_ends = None if lifetime is None else (ahead or now) + lifetime
    old_ends: datetime | None = now + grace
    if ends is not None and old_ends is not None:
        old_ends = min(old_ends, ends)
    if grace <= timedelta(0) or (ahead is not None and old_ends is not None and old_ends <= ahead):
        # It would end before it begins: there is nothing to go on with.
        old_ends = None
    return Succession(old_ends, ahead, new_ends)
