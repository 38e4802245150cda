"""Single-use tokens in the forms that create keys, so that a form sent twice creates one key.

A browser that reloads the answer sends the same form again. Without a token
that would create a second key that nobody noticed and nobody revokes. A token
is signed for one user; consumed tokens are kept in that user's session.
``consume`` runs in the transaction that creates the key, after the lock that
every policy change takes, and reads the session from its store, so that two
concurrent requests see each other.
"""

from __future__ import annotations

import secrets

from django.core import signing
from django.http import HttpRequest

from ...models import ApiKey

SALT = "apiguard.admin.form_tokens"
SESSION_KEY = "apiguard_used_form_tokens"
LIFETIME = 12 * 3600  # Seconds.
KEPT = 200


class FormTokenUsed(Exception):
    """The form has created its key already; ``key_pk`` is that key."""

    def __init__(self, key_pk: int | None) -> None:
        super().__init__("This form token was used.")
        self.key_pk = key_pk


def create(user_pk: object) -> str:
    """Return a token for one form of one user."""
    return _signer(user_pk).sign(secrets.token_urlsafe(12))


def is_valid(token: str, user_pk: object) -> bool:
    """Return whether ``token`` was issued to this user less than ``LIFETIME`` ago."""
    try:
        _signer(user_pk).unsign(token, max_age=LIFETIME)
    except signing.BadSignature:
        return False
    return True


def consume(request: HttpRequest, token: str, key_pk: int) -> None:
    """Mark ``token`` as used for the key ``key_pk``, which was just created.

    Raises:
        FormTokenUsed: the token was used before.
    """
    used = _used_tokens(request)
    _raise_if_used(used, token, key_pk)
    used[token] = key_pk
    request.session[SESSION_KEY] = dict(list(used.items())[-KEPT:])
    request.session.save()


def check_unused(request: HttpRequest, token: str) -> None:
    """Raise ``FormTokenUsed`` if ``token`` was used before; do not mark it."""
    _raise_if_used(_used_tokens(request), token, None)


def _used_tokens(request: HttpRequest) -> dict[str, int]:
    session = request.session
    return dict(type(session)(session.session_key).get(SESSION_KEY, {}))


def _raise_if_used(used: dict[str, int], token: str, key_pk: int | None) -> None:
    earlier = used.get(token)
    # A transaction that was rolled back may have left its mark in a store that is no database.
    if earlier not in (None, key_pk) and ApiKey.objects.filter(pk=earlier).exists():
        raise FormTokenUsed(earlier)


def _signer(user_pk: object) -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=f"{SALT}.{user_pk}")
