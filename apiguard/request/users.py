"""``request.user`` for callers who have no row in the user table, and who is signed in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject


class CredentialUser:
    """Authenticated by a credential; no row, no password, no permissions of its own.

    ``pk`` and ``id`` are the principal, a text: what keys by ``user.pk`` keeps callers
    apart, and a look-up of an integer column by it fails instead of finding
    the rows that nobody owns.
    """

    is_authenticated = True
    is_anonymous = False
    is_active = True
    is_staff = False
    is_superuser = False

    def __init__(self, username: str, principal: str = "") -> None:
        self.username = username
        # Usernames are not unique: two issuers may each have their own "alice".
        self.principal = principal
        self.pk = self.id = principal or None

    def __str__(self) -> str:
        return self.username

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CredentialUser) and other._identity() == self._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[type[CredentialUser], str, str]:
        return type(self), self.username, self.principal

    def get_username(self) -> str:
        """As of ``AbstractBaseUser``."""
        return self.username

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """No permission: scopes say what a credential may do."""
        return False

    def has_perms(self, perms: Iterable[str], obj: Any = None) -> bool:
        """No permission but the empty set."""
        return not list(perms)

    def has_module_perms(self, app_label: str) -> bool:
        """No permission in any app."""
        return False

    def get_user_permissions(self, obj: Any = None) -> set[str]:
        """None."""
        return set()

    get_group_permissions = get_all_permissions = get_user_permissions

    async def ahas_perm(self, perm: str, obj: Any = None) -> bool:
        """As ``has_perm``."""
        return self.has_perm(perm, obj)

    async def ahas_perms(self, perms: Iterable[str], obj: Any = None) -> bool:
        """As ``has_perms``."""
        return self.has_perms(perms, obj)

    async def ahas_module_perms(self, app_label: str) -> bool:
        """As ``has_module_perms``."""
        return self.has_module_perms(app_label)

    async def aget_user_permissions(self, obj: Any = None) -> set[str]:
        """As ``get_user_permissions``."""
        return self.get_user_permissions(obj)

    aget_group_permissions = aget_all_permissions = aget_user_permissions

    @property
    def groups(self) -> Any:
        """No group; a manager, because views filter it."""
        return _anonymous().groups

    @property
    def user_permissions(self) -> Any:
        """No permission; a manager like ``groups``."""
        return _anonymous().user_permissions


def _anonymous() -> Any:
    # Imported late: the models of the project's auth app need a loaded registry.
    from django.contrib.auth.models import AnonymousUser

    return AnonymousUser()


class ClientUser(CredentialUser):
    """A client, known by one of its keys."""


class TokenUser(CredentialUser):
    """The subject of a token."""


def token_principal(issuer_pk: Any, subject: str) -> str:
    """Return how the subject of a token is counted; other characters are hashed."""
    principal = f"jwt:{issuer_pk}:{subject}"
    # A subject that looks like a digest is hashed too: it would be somebody else's.
    if _PRINCIPAL.fullmatch(principal) and not _DIGEST.fullmatch(subject):
        return principal
    digest = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()
    return f"jwt:{issuer_pk}:sha256-{digest[:32]}"


# Short enough for the columns that others keep keys in, and free of what they separate by.
_PRINCIPAL = re.compile(r"[A-Za-z0-9._:@|-]{1,100}")
_DIGEST = re.compile(r"sha256-[0-9a-f]{32}")


def signed_in_user(request: Any) -> Any:
    """Return the primary key of the user row that the project has authenticated, or None."""
    user = getattr(request, "user", None)
    if isinstance(user, CredentialUser) or not getattr(user, "is_authenticated", False):
        return None
    return getattr(user, "pk", None)


def is_signed_in_beside(request: HttpRequest) -> bool:
    """Whether a session, or the project's own middleware, signs a user in as well.

    Without a session cookie the session is not looked at: that would add ``Vary: Cookie``.
    """
    user = getattr(request, "user", None)
    if type(user) is SimpleLazyObject and settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return False
    return signed_in_user(request) is not None


def signed_in_user_afterwards(request: HttpRequest, *, testing: bool) -> Any:
    """Return the same after the view has run.

    While tests run, a session that the view left alone is left alone: reading it
    costs two queries that no test of the project expects.
    """
    session = getattr(request, "session", None)
    is_unread = type(getattr(request, "user", None)) is SimpleLazyObject
    if testing and is_unread and session is not None and not session.accessed:
        return None
    return signed_in_user(request)
