"""``DEFAULT_AUTHENTICATION_CLASSES``: who is calling, by key or by token.

Put both before the project's own classes: DRF sends the challenge of the
first class, and answers 403 instead of 401 where that has none.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from .. import conf
from ..request.challenge import challenge
from .context import authenticate


class _CredentialAuthentication(BaseAuthentication):
    kind: ClassVar[Literal["key", "token"]]

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """The user and the key's record or token's claims; ``None`` without one of ours.

        Raises:
            RequestRefused: a credential of ours is bad.
        """
        context = authenticate(request)
        credential, route = context.credential, context.route
        if credential is None or credential.kind != self.kind:
            return None
        if route is not None and route.access == "application" and not credential.has_row:
            return None  # The project's own classes say who the user is; CSRF holds for sessions.
        # A header credential is not ambient: DRF's session authentication would
        # ask for a CSRF token only if it were reached, and it is not.
        return credential.user, credential.auth

    def authenticate_header(self, request: Request) -> str:
        """The challenge of a 401 that is not ours: nothing of ours was found wrong."""
        return challenge(conf.current().realm)


class ApiKeyAuthentication(_CredentialAuthentication):
    """X-API-Key, or a key in Authorization; ``request.auth`` is the key's record."""

    kind = "key"


class JWTAuthentication(_CredentialAuthentication):
    """A token of an enabled issuer; ``request.auth`` is its claims."""

    kind = "token"
