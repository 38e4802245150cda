"""``HasScope``: what a view asks of a credential, beside what its route asks.

The view's own code says it, so it holds whatever mode the route is in.
"""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission, SingleOperandHolder
from rest_framework.request import Request

from ..request.at_view import authenticate, require_scopes
from .context import django_request_of, raising_for_drf


class HasScope(SingleOperandHolder, BasePermission):
    """``permission_classes = [HasScope("orders:read")]``; all scopes are needed.

    Combines with other permissions: ``IsAuthenticated & HasScope("orders:read")``. Beside ``|`` it
    stands last, because a credential without the scope is refused at once.
    """

    # DRF and its stubs take a class or a holder in ``permission_classes``. This is a holder of
    # itself: what it is called for is the permission.

    def __init__(self, *scopes: str) -> None:
        self.scopes = frozenset(scopes)

    def __call__(self) -> HasScope:
        """DRF makes an instance of every permission class; this is one already."""
        return self

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the credential has all scopes.

        Raises:
            RequestRefused: it is good, but lacks one; the challenge names what is wanted.
        """
        with raising_for_drf():
            context = authenticate(django_request_of(request))
        if context.credential is None and not request.user.is_authenticated:
            context.is_wanted_by_view = True
            return False  # DRF answers 401 with the challenge.
        with raising_for_drf():
            require_scopes(django_request_of(request), self.scopes, is_signed_in=True)
        return True
