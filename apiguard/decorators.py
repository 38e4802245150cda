"""Decorators for plain Django views, with the words of the classes for DRF and django-ninja."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest

from . import conf
from .request import at_view
from .request.users import signed_in_user

View = Callable[..., Any]
Check = Callable[[HttpRequest], object]


def require_scopes(*scopes: str) -> Callable[[View], View]:
    """Let a view run only for a credential with all of ``scopes``, whatever its route's mode.

    401 without a credential, 403 without a scope, each with the challenge of RFC 6750.
    """

    def check(request: HttpRequest) -> None:
        is_signed_in = signed_in_user(request) is not None
        at_view.require_scopes(request, scopes, is_signed_in=is_signed_in)

    return lambda view: _checked(view, check)


def counted(cost: int = 1) -> Callable[[View], View]:
    """Count requests of a view in the caller's tier; 429 beyond a limit.

    Args:
        cost: what a request costs in all. Where the middleware has counted the cost of
            the route already, only the rest is counted, which is one more Redis command.
    """

    def check(request: HttpRequest) -> None:
        if conf.current().enabled:
            at_view.count(request, cost=cost)

    return lambda view: _checked(view, check)


def _checked(view: View, check: Check) -> View:
    if iscoroutinefunction(view):

        @wraps(view)
        async def asynchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            refusal = await sync_to_async(at_view.refusal_of)(request, check)
            return await view(request, *args, **kwargs) if refusal is None else refusal

        return asynchronous

    @wraps(view)
    def synchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        refusal = at_view.refusal_of(request, check)
        return view(request, *args, **kwargs) if refusal is None else refusal

    return synchronous
