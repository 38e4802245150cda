"""Keys by what they can do and how they are used, as conditions on rows."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q

from .. import conf
from ..rules.key_life import KeyState

# Long enough to inform the holder of the key, and to roll out its successor.
SOON = timedelta(days=14)

# Found by the rules of a row, which no SQL condition can express.
FILTERABLE = tuple(state for state in KeyState if state is not KeyState.BROKEN)


def in_state(state: KeyState, now: datetime) -> Q:
    """Return keys whose ``state()`` is this one; broken ones are among the ``VALID``."""
    settings = conf.current()
    never = Q(pk__in=())
    known = ["", *settings.key_peppers]
    reasons = (
        (KeyState.REVOKED, Q(revoked_at__isnull=False)),
        (KeyState.EXPIRED, Q(expires_at__lte=now)),
        (KeyState.NOT_YET_VALID, Q(not_before__gt=now)),
        (KeyState.TEST_REFUSED, never if settings.allow_test_keys else Q(environment="test")),
        (KeyState.CLIENT_DISABLED, Q(client__enabled=False)),
        (KeyState.PEPPER_GONE, ~Q(pepper_id__in=known)),
        (KeyState.VALID, Q()),
    )
    condition = Q()
    for reason, holds in reasons:
        if reason is state:
            return condition & holds
        condition &= ~holds
    return never


def ending_soon(now: datetime) -> Q:
    """Return valid keys that end within ``SOON``."""
    return in_state(KeyState.VALID, now) & Q(expires_at__lte=now + SOON)


def alive(now: datetime) -> Q:
    """Return keys that are neither revoked nor expired, and so worth an end."""
    return Q(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


def unused(now: datetime, days: int) -> Q:
    """Return living keys that were made, and last used if ever, at least ``days`` days ago."""
    since = now - timedelta(days=days)
    return alive(now) & (Q(last_used_at__lte=since) | Q(last_used_at=None, created_at__lte=since))


def never_used(now: datetime) -> Q:
    """Return living keys that no request ever brought."""
    return alive(now) & Q(last_used_at=None)


def hashed_with(pepper_id: str, now: datetime) -> Q:
    """Return living keys that die when this pepper is taken out of the settings."""
    return alive(now) & Q(pepper_id=pepper_id)
