"""Limits failed sign-ins by account and address: an authentication backend that comes first.

    AUTHENTICATION_BACKENDS = ["apiguard.auth.SignInLimitBackend", *AUTHENTICATION_BACKENDS]
    APIGUARD = {"SIGN_IN_TIER": "sign-in"}

It signs nobody in. Before any password is checked it counts the attempt in the limits of
the tier; beyond a limit it ends the attempt, with the same text as a wrong password. An
attempt that succeeds is given back, so failures alone count, and attempts at the same
time cannot exceed the limit together. Django's login, the admin, Django REST framework's
and simplejwt's token views all go through ``django.contrib.auth.authenticate``.
"""

from __future__ import annotations

import hashlib
import logging
import time
import unicodedata
from contextvars import ContextVar
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core.exceptions import PermissionDenied
from django.core.signals import request_finished
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from .counters.base import CounterUnavailable, GiveBack, LimitCheck
from .counters.connection import TIMEOUT_SECONDS
from .request import at_view
from .request.context import GuardContext
from .request.effects import limit_counter
from .rules.limits import MICROSECONDS, Limit
from .rules.networks import counted_as

logger = logging.getLogger("apiguard.sign_in")

# Longer than any name of an account: to decompose a text costs the square of its length.
MAX_NAME = 300
# Marks upon letters, and characters that are not seen.
UNSEEN = frozenset({"Mn", "Cf", "Cc"})


class _Attempt(NamedTuple):
    """An attempt whose unit is counted, until it is known whether it failed."""

    context: GuardContext
    principal: str
    limits: tuple[Limit, ...]
    place: int
    begun: int


# Attempts of this request that are neither failed nor given back.
_attempts: ContextVar[tuple[_Attempt, ...]] = ContextVar("apiguard_sign_in_attempts", default=())


class SignInLimitBackend(BaseBackend):
    """Counts attempts to sign in with a name and a password; see the module."""

    @sensitive_variables()
    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, **credentials: Any
    ) -> None:
        """Count an attempt.

        Raises:
            PermissionDenied: there were too many; Django asks no other backend then.
        """
        account = username or credentials.get(get_user_model().USERNAME_FIELD)
        if request is None or account is None:
            return
        _give_back_all()
        context = _context(request)
        tier = None if context is None else _tier(context)
        if context is None or tier is None:
            return
        # A number, as JSON may bring it, finds the account whose name has these digits.
        limits, principal = tier.limits_at(None), _principal(context, str(account))
        if not limits:
            return
        begun = _now()
        try:
            check = LimitCheck(principal, limits, 1)
            decision = limit_counter(context.settings).check(context.snapshot, check)
        except CounterUnavailable as error:
            raise _refused(principal, "the limits cannot be counted now") from error
        if not decision.allowed:
            names = ", ".join(one.limit.name for one in decision.violated)
            raise _refused(principal, f"{names}; {decision.retry_after} s to wait")
        attempt = _Attempt(context, principal, limits, decision.now, begun)
        _attempts.set((*_attempts.get(), attempt))

    def get_user(self, user_id: Any) -> None:
        """No session is of this backend."""


def _context(request: HttpRequest) -> GuardContext | None:
    try:
        return at_view.context_of(request)
    except at_view.RequestRefused:
        return None  # No policy can be read, so no limit is known.


def _tier(context: GuardContext) -> Any:
    slug = context.settings.sign_in_tier
    if getattr(context, "is_exempt", False):
        return None  # An exempt path, or ENABLED is False: nothing is counted.
    tier = context.snapshot.tiers_by_slug.get(slug) if slug else None
    if slug and tier is None:
        logger.error("SIGN_IN_TIER: there is no tier %r, so sign-ins are not limited.", slug)
    return tier


def _principal(context: GuardContext, account: str) -> str:
    """Return what is counted: an account from an address, since that was last unlocked."""
    address = counted_as(context.address)
    unlocked = max(
        (revision for revision, of in context.snapshot.unlocked if of == address), default=0
    )
    # The name itself is not stored.
    name = _comparable(account).encode("utf-8", "surrogatepass")
    return f"sign-in:{hashlib.sha256(name).hexdigest()[:32]}@{address}#{unlocked}"


def _comparable(account: str) -> str:
    """Return a name so that all spellings are equal by which some database finds the account.

    Case, and in MySQL's collations also accents and characters without a width, make no
    difference to some of them. Names that differ in nothing else share their attempts.
    """
    decomposed = unicodedata.normalize("NFKD", account[:MAX_NAME])
    seen = (char for char in decomposed if unicodedata.category(char) not in UNSEEN)
    return "".join(seen).casefold().strip()


def _refused(principal: str, why: str) -> PermissionDenied:
    logger.warning("A sign-in from %s is refused: %s.", principal.partition("@")[2], why)
    return PermissionDenied()


def _note_failure(sender: object, **_: Any) -> None:
    """Keep the unit of an attempt that no backend has accepted."""
    _attempts.set(())


def _note_success(sender: object, **_: Any) -> None:
    _give_back_all()


def _give_back_all(sender: object = None, **_: Any) -> None:
    """Give back the units of attempts that did not fail."""
    attempts = _attempts.get()
    if not attempts:
        return
    _attempts.set(())
    for attempt in attempts:
        age = _now() - attempt.begun + int(TIMEOUT_SECONDS * MICROSECONDS)
        unused = (GiveBack(attempt.place, age, 1),)
        check = LimitCheck(attempt.principal, attempt.limits, 0, given_back=unused)
        try:
            limit_counter(attempt.context.settings).check(attempt.context.snapshot, check)
        except CounterUnavailable as error:
            # Not sent once more: it may have been counted.
            logger.debug("A sign-in that succeeded stays counted: %s", error)


def _now() -> int:
    return time.monotonic_ns() // 1000


user_login_failed.connect(_note_failure, dispatch_uid="apiguard.auth")
user_logged_in.connect(_note_success, dispatch_uid="apiguard.auth")
# Views that make tokens send no signal when somebody has signed in.
request_finished.connect(_give_back_all, dispatch_uid="apiguard.auth")
