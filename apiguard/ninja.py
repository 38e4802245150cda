"""The classes for django-ninja, which share the stages of ``request/``.

    api = GuardedAPI(auth=[ApiKeyAuth(), JWTAuth()], throttle=[TierThrottle()])

    @api.post("/orders", auth=[ApiKeyAuth("orders:write"), JWTAuth("orders:write")])

With the middleware these classes adopt what it has decided. Without it they decide
themselves, with the same functions; CORS, request rules and response headers are not
covered then.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar, Literal

from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError
from ninja.security.base import AuthBase
from ninja.throttling import BaseThrottle

from . import conf
from .request import at_view
from .request.access import no_credential
from .request.async_driver import lookup_threads
from .request.context import GuardContext
from .request.problem import CONTENT_TYPES, encode, error_code, problem, title


class RequestRefused(HttpError):
    """A refusal of ours on its way through ninja's exception handling."""

    def __init__(self, refused: at_view.RequestRefused) -> None:
        refusal = refused.verdict.refusal
        if refusal is None:
            raise ValueError("An admitting verdict is not an exception.")
        super().__init__(refusal.status, refusal.detail)
        self.verdict, self.recorded = refused.verdict, refused.recorded


class _CredentialAuth(AuthBase):
    """A credential of one kind, with all of ``scopes``; ``request.auth`` is what it stands for.

    The view's code asks for the scopes, so they hold whatever mode the route is in.
    """

    kind: ClassVar[Literal["key", "token"]]

    def __init__(self, *scopes: str) -> None:
        self.scopes = frozenset(scopes)
        super().__init__()

    def __call__(self, request: HttpRequest) -> Any | None:
        """Return the key's record or the token's claims; None without a credential of this kind.

        Raises:
            RequestRefused: a credential of ours is bad, or lacks a scope.
        """
        try:
            context = at_view.authenticate(request)
            credential = context.credential
            if credential is None or credential.kind != self.kind:
                context.is_wanted_by_view = True
                return None
            at_view.require_scopes(request, self.scopes)
        except at_view.RequestRefused as refused:
            raise RequestRefused(refused) from refused
        if credential.has_row or context.route is None or context.route.access != "application":
            request.user = credential.user
        return credential.auth


class ApiKeyAuth(_CredentialAuth):
    """X-API-Key, or a key in Authorization; ``request.auth`` is the key's record."""

    kind = "key"
    openapi_type = "apiKey"
    openapi_in = "header"

    def __init__(self, *scopes: str) -> None:
        self.openapi_name = conf.current().api_key_header
        super().__init__(*scopes)


class JWTAuth(_CredentialAuth):
    """A token of an enabled issuer; ``request.auth`` is its claims."""

    kind = "token"
    openapi_type = "http"
    openapi_scheme = "bearer"
    openapi_bearerFormat = "JWT"  # noqa: N815 - the name of OpenAPI


class TierThrottle(BaseThrottle):
    """Counts a request once, by client, token subject, user or address.

    Where the middleware has counted it, nothing is counted here.
    """

    counts_tiers = True

    def allow_request(self, request: HttpRequest) -> bool:
        """Whether every limit admits the request."""
        context: GuardContext | None = getattr(request, "apiguard", None)
        if not conf.current().enabled or (context is not None and context.counted):
            return True
        try:
            # ninja calls the throttles of an asynchronous operation in the event loop.
            lookup_threads.wait_for(at_view.count, request)
        except at_view.RequestRefused as refused:
            # ninja handles no exception of a throttle: the verdict waits for ``_answer``.
            request.apiguard_refused = refused  # type: ignore[attr-defined]
            _retry_after.set(refused.verdict.retry_after)
            return False
        return True

    def wait(self) -> float | None:
        """Return the seconds until the request that was just refused is admitted."""
        return _retry_after.get()


# ``wait`` is called right after a refusal and has no request; one instance serves many of them.
_retry_after: ContextVar[float | None] = ContextVar("apiguard_retry_after", default=None)


class GuardedAPI(NinjaAPI):
    """A ``NinjaAPI`` whose errors are the middleware's problem details, in its schema too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        use_problem_details(self)

    def get_openapi_schema(self, **options: Any) -> Any:
        """Return the schema, with the refusals of every operation that wants a credential."""
        schema = super().get_openapi_schema(**options)
        for operations in schema["paths"].values():
            for operation in operations.values():
                if isinstance(operation, dict) and operation.get("security"):
                    for status in (401, 403, 429):
                        operation["responses"].setdefault(status, _problem_schema(status))
        return schema


def use_problem_details(api: NinjaAPI) -> None:
    """Send every error of ``api`` in the shape of the middleware's.

    Errors of validation keep their details as the member ``errors``.
    """
    for of_type in (HttpError, ValidationError, Http404):
        api.add_exception_handler(of_type, partial(_answer, api=api))


def _answer(request: HttpRequest, error: Any, *, api: NinjaAPI) -> HttpResponse:
    context: GuardContext = getattr(request, "apiguard", None) or at_view.without_policy(request)
    if isinstance(error, AuthenticationError):
        return at_view.answer(request, no_credential(context), recorded=False)
    by_throttle: at_view.RequestRefused | None = getattr(request, "apiguard_refused", None)
    if isinstance(error, Throttled) and by_throttle is not None:
        error = RequestRefused(by_throttle)
    if isinstance(error, RequestRefused):
        return at_view.answer(request, error.verdict, recorded=error.recorded)
    answer = _of_ninja(context, error)
    at_view.record_answer(context, answer.status_code)
    answer.headers[context.settings.request_id_header] = context.request_id
    return answer


def _of_ninja(context: GuardContext, error: Any) -> HttpResponse:
    status, detail, errors, wait = 422, "The request is invalid", None, None
    if isinstance(error, ValidationError):
        errors = error.errors
    elif isinstance(error, Http404):
        status, detail = 404, "Nothing is found here"
    else:
        status, detail = error.status_code, error.message or title(error.status_code)
        wait = getattr(error, "wait", None) if isinstance(error, Throttled) else None
    retry_after = None if wait is None else max(1, math.ceil(wait))
    error_format = context.settings.error_format
    members = problem(
        status,
        error_code(status),
        detail,
        context.request_id,
        error_format=error_format,
        retry_after=retry_after,
        errors=errors,
    )
    answer = HttpResponse(encode(members), CONTENT_TYPES[error_format], status)
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def _problem_schema(status: int) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["error", "message", "requestId"],
        "properties": {
            **{name: {"type": "string"} for name in ("error", "message", "requestId")},
            "retryAfter": {"type": "integer"},
        },
    }
    content_type = CONTENT_TYPES[conf.current().error_format]
    return {"description": title(status), "content": {content_type: {"schema": schema}}}
