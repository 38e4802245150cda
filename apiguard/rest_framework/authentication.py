"""``DEFAULT_AUTHENTICATION_CLASSES``: who is calling, by key or by token.

Put both before the project's own classes: a key or a token is then verified once,
and what the project's own classes challenge and accept stays as it was.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from .. import conf
from ..request.at_view import authenticate
from ..request.challenge import challenge
from ..request.context import GuardContext
from .context import django_request_of, raising_for_drf


class _CredentialAuthentication(BaseAuthentication):
    kind: ClassVar[Literal["key", "token"]]

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the user and the key's record or token's claims; ``None`` without one of ours.

        Raises:
            RequestRefused: a credential of ours is bad.
        """
        with raising_for_drf():
            context = authenticate(django_request_of(request))
        credential, route = context.credential, context.route
        if credential is None or credential.kind != self.kind:
            return None
        if route is not None and route.access == "application" and not credential.has_row:
            return None  # The project's own classes say who the user is; CSRF holds for sessions.
        # A header credential is not ambient: DRF's session authentication would
        # ask for a CSRF token only if it were reached, and it is not.
        return credential.user, credential.auth

    def authenticate_header(self, request: Request) -> str | None:
        """Return the challenge of a 401 that is not ours; ``None`` makes it a 403.

        It is that of the project's own first class, as it was before apiguard was
        installed, unless a credential of ours was sent or the route wants one.
        """
        own = _first_of_the_project(request)
        if own is None or _is_ours_to_challenge(request):
            return challenge(conf.current().realm)
        return own.authenticate_header(request)


def _first_of_the_project(request: Request) -> BaseAuthentication | None:
    # The request's own list is another one where a test forces who is authenticated.
    view = (request.parser_context or {}).get("view")
    classes = [] if view is None else view.get_authenticators()
    own = (each for each in classes if not isinstance(each, _CredentialAuthentication))
    return next(own, None)


def _is_ours_to_challenge(request: Request) -> bool:
    context: GuardContext | None = getattr(django_request_of(request), "apiguard", None)
    if context is None:
        return False
    route = context.route
    wants = route is not None and route.enforced and route.access == "credentials"
    return wants or context.is_wanted_by_view or context.credential is not None


class ApiKeyAuthentication(_CredentialAuthentication):
    """X-API-Key, or a key in Authorization; ``request.auth`` is the key's record."""

    kind = "key"


class JWTAuthentication(_CredentialAuthentication):
    """A token of an enabled issuer; ``request.auth`` is its claims."""

    kind = "token"
