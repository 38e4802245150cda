"""One form, one key: a ticket in the form that is good for a single use.

A reload sends the same form again, and a second key that nobody noticed is a
key that nobody revokes. The ticket is signed for one user; the tickets that
were used are kept in that user's session. ``use`` runs in the transaction
that makes the key, after the lock that every change of policy takes, and
reads the session from its store: two clicks at once are told apart as well.
"""

from __future__ import annotations

import secrets

from django.core import signing
from django.http import HttpRequest

from ..models import ApiKey

SALT = "apiguard.admin.tickets"
SESSION_KEY = "apiguard_used_tickets"
LIFETIME = 12 * 3600  # Seconds.
KEPT = 200


class TicketUsed(Exception):
    """This form has made its key already; ``key_pk`` is that key."""

    def __init__(self, key_pk: int | None) -> None:
        super().__init__("This ticket was used.")
        self.key_pk = key_pk


def new(user_pk: object) -> str:
    """A ticket for one form of one user."""
    return _signer(user_pk).sign(secrets.token_urlsafe(12))


def is_good(ticket: str, user_pk: object) -> bool:
    """Whether ``ticket`` was given to this user, less than ``LIFETIME`` ago."""
    try:
        _signer(user_pk).unsign(ticket, max_age=LIFETIME)
    except signing.BadSignature:
        return False
    return True


def use(request: HttpRequest, ticket: str, key_pk: int) -> None:
    """Mark ``ticket`` as used for the key ``key_pk``, which was made just now.

    Raises:
        TicketUsed: it was used before.
    """
    used = _used(request)
    _refuse(used, ticket, key_pk)
    used[ticket] = key_pk
    request.session[SESSION_KEY] = dict(list(used.items())[-KEPT:])
    request.session.save()


def refuse_used(request: HttpRequest, ticket: str) -> None:
    """Raise ``TicketUsed`` if ``ticket`` was used before; ``use`` is what marks it."""
    _refuse(_used(request), ticket, None)


def _used(request: HttpRequest) -> dict[str, int]:
    session = request.session
    return dict(type(session)(session.session_key).get(SESSION_KEY, {}))


def _refuse(used: dict[str, int], ticket: str, key_pk: int | None) -> None:
    earlier = used.get(ticket)
    # A try that was rolled back may have left its mark in a store that is no database.
    if earlier not in (None, key_pk) and ApiKey.objects.filter(pk=earlier).exists():
        raise TicketUsed(earlier)


def _signer(user_pk: object) -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=f"{SALT}.{user_pk}")
