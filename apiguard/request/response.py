"""What leaves: headers on every response of a route, and errors in one shape.

``refuse`` makes the response of a verdict; ``finish`` completes any response
of an enforced route, refusals included. A response is changed in place: it
keeps its cookies, its status and whatever the view has set.
"""

from __future__ import annotations

import re
from functools import lru_cache

from django.conf import settings as django_settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase

from ..conf import Settings
from ..policy.snapshot import CACHING, HeaderWrites, RouteHeaders, RoutePolicy
from ..rules.accept import prefers_html
from ..rules.headers import merge_vary
from ..rules.limits import rate_limit_headers
from . import cors
from .context import GuardContext
from .django_private import HeaderTable, header_table
from .problem import CONTENT_TYPES, encode, error_code, problem, title
from .verdict import Outcome, Verdict

SECURITY_MIDDLEWARE = "django.middleware.security.SecurityMiddleware"

# -- refusals -----------------------------------------------------------------


def refuse(context: GuardContext, verdict: Verdict) -> HttpResponse:
    """Return the response of a verdict that lets no view run."""
    return _response_of(verdict, context.request_id, context.settings)


def unavailable(request_id: str, settings: Settings) -> HttpResponse:
    """503 where not even the policy is known."""
    no_store = ("Cache-Control", "no-store")
    verdict = Verdict(Outcome.POLICY_UNAVAILABLE, retry_after=1, headers=(no_store,))
    return _response_of(verdict, request_id, settings)


def _response_of(verdict: Verdict, request_id: str, settings: Settings) -> HttpResponse:
    refusal = verdict.refusal
    if refusal is None:
        response = HttpResponse(status=204)
        del response.headers["Content-Type"]
    else:
        members = problem(
            *refusal,
            request_id,
            error_format=settings.error_format,
            retry_after=verdict.retry_after,
            violated=verdict.violated,
        )
        content_type = CONTENT_TYPES[settings.error_format]
        response = HttpResponse(encode(members), content_type, refusal.status)
        # No middleware behind us sees this response to add them.
        response.headers["Content-Length"] = str(len(response.content))
        _add_opener_policy(response)
    for name, value in verdict.all_headers:
        response.headers[name] = value
    return response


def _add_opener_policy(response: HttpResponse) -> None:
    """Send what Django's SecurityMiddleware would, where a project has installed it."""
    policy = django_settings.SECURE_CROSS_ORIGIN_OPENER_POLICY
    if policy and SECURITY_MIDDLEWARE in django_settings.MIDDLEWARE:
        response.headers["Cross-Origin-Opener-Policy"] = policy


# -- every response of a route --------------------------------------------------


def finish(request: HttpRequest, context: GuardContext, response: HttpResponseBase) -> None:
    """Complete a response of an enforced route, in place."""
    route = context.route
    if route is None:
        return
    if response.status_code >= 400:
        _as_problem(request, context, response)
    table = header_table(response)
    verdict, decision = context.verdict, context.decision
    apply_writes(_writes_of(context, response), table, refused=verdict.refused)
    cors.write_headers(context, table)
    vary = _vary_of(context, route, verdict, is_public=_is_public(table))
    if decision is not None:
        table.update(rate_limit_headers(decision, context.settings.rate_limit_headers))
    if vary:
        existing = table["vary"][1] if "vary" in table else ""
        table["vary"] = ("Vary", _merged_vary(existing, vary))


def _writes_of(context: GuardContext, response: HttpResponseBase) -> HeaderWrites:
    headers = context.route.headers if context.route is not None else RouteHeaders()
    if headers.by_type is not None:
        headers = headers.by_type(_type_of(response))
    return headers.https if context.facts.secure else headers.http


def _type_of(response: HttpResponseBase) -> str:
    # Of a page that has not changed, what Django calls its type is a guess.
    return "" if response.status_code == 304 else response.headers.get("Content-Type", "")


def apply_writes(writes: HeaderWrites, table: HeaderTable, *, refused: bool) -> None:
    """Do what a header policy says to a response's headers, in place.

    Args:
        refused: whether the response is a refusal; its ``no-store`` is no view's choice.
    """
    view_caches = not refused and not CACHING.isdisjoint(table)
    for name in writes.remove:
        table.pop(name, None)
    defaults = writes.default if view_caches else writes.all_defaults
    table.update({**defaults, **table, **writes.force})


def _vary_of(
    context: GuardContext, route: RoutePolicy, verdict: Verdict, *, is_public: bool
) -> tuple[str, ...]:
    """Return the request headers that the response depends on, as far as apiguard decides it.

    Where credentials decide, a response without one depends on there being none: a cache
    outside must not send it to a client. Public routes, and on application routes
    responses marked ``public`` (RFC 9111 section 3.5), are for everybody.
    """
    if verdict.outcome in cors.PREFLIGHT_OUTCOMES:
        return ()  # A preflight's own Vary is complete, and no credential is wanted there.
    facts, names = context.facts, []
    if route.cors is not None and not route.cors.origins.any:
        names.append("Origin")
    sent = facts.authorization is not None or facts.api_key is not None
    if sent or route.access == "credentials" or (route.access == "application" and not is_public):
        names += ["Authorization", context.settings.api_key_header]
    return tuple(names)


def _is_public(table: HeaderTable) -> bool:
    """Whether the response says that every cache may store it for everybody."""
    value = table["cache-control"][1].lower() if "cache-control" in table else ""
    return "public" in (part.strip() for part in value.split(","))


_merged_vary = lru_cache(maxsize=256)(merge_vary)


# -- errors of Django and DRF ---------------------------------------------------


def _as_problem(request: HttpRequest, context: GuardContext, response: HttpResponseBase) -> None:
    """Replace an error page of Django or DRF, unless a person's browser asked for HTML.

    A page that a view returned is the view's own, whatever its status.
    """
    if not isinstance(response, HttpResponse) or not _is_page(response):
        return
    if not _is_from_an_exception(request, context, response):
        return
    accept = context.facts.accept
    if accept is not None and prefers_html(accept):
        return
    status, error, detail = describe(request, context, response.status_code)
    response.status_code = status
    error_format = context.settings.error_format
    members = problem(status, error, detail, context.request_id, error_format=error_format)
    response.content = encode(members)
    response.headers["Content-Type"] = CONTENT_TYPES[error_format]
    for name in _OF_THE_PAGE:
        response.headers.pop(name, None)
    if "Content-Length" in response.headers:
        response.headers["Content-Length"] = str(len(response.content))


# Headers that were true of the page alone.
_OF_THE_PAGE = ("Content-Disposition", "Content-Encoding", "Content-Language", "ETag")
# In the plain text that Django sends under DEBUG, for exceptions of middleware too.
_TECHNICAL = b"because you have DEBUG = True in your"


def _is_page(response: HttpResponse) -> bool:
    """HTML, or the plain text that Django sends of an exception under DEBUG."""
    content_type = response.headers.get("Content-Type", "").lower()
    if content_type.startswith("text/plain"):
        return bool(django_settings.DEBUG) and _TECHNICAL in response.content
    return content_type.startswith(("text/html", "application/xhtml+xml"))


def describe(request: HttpRequest, context: GuardContext, status: int) -> tuple[int, str, str]:
    """Return status, error code and text for an error of Django's."""
    if isinstance(context.exception, RequestDataTooBig) or (
        status == 400 and _was_too_big(request, context)
    ):
        limit = django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return 413, "payload_too_large", f"The body is larger than the limit of {limit} bytes"
    if status == 403 and _was_csrf(request, context):
        return 403, "csrf_failed", "CSRF verification failed"
    if status >= 500:
        return status, error_code(status), _server_error(context)
    return status, error_code(status), _DETAILS.get(status, title(status))


_DETAILS = {
    400: "The request is malformed",
    403: "Permission denied",
    404: "Nothing is found here",
    405: "The method is not allowed here",
}


def _server_error(context: GuardContext) -> str:
    if django_settings.DEBUG and context.exception is not None:
        return f"{type(context.exception).__name__}: {context.exception}"
    return "An error occurred"


def _is_from_an_exception(
    request: HttpRequest, context: GuardContext, response: HttpResponse
) -> bool:
    """Whether no view returned this response: none was found or called, or it raised."""
    return (
        not context.reached_view
        or context.exception is not None
        or context.failed_behind
        # What View and require_http_methods answer, in place of a view's own code.
        or isinstance(response, HttpResponseNotAllowed)
        # DRF marks what its exception handler returned.
        or bool(getattr(response, "exception", False))
        or was_stopped_by_csrf_check(request)
    )


def _was_too_big(request: HttpRequest, context: GuardContext) -> bool:
    """Whether a middleware met RequestDataTooBig, which no hook of ours gets to see.

    Where a middleware did, no view was called, and the body is as unreadable as it was.
    """
    limit: int | None = getattr(django_settings, "DATA_UPLOAD_MAX_MEMORY_SIZE", None)
    length = context.facts.content_length
    if limit is None or length is None or context.exception is not None or int(length) <= limit:
        return False
    if request.content_type == "multipart/form-data":
        return False  # Files are read in parts, and do not count.
    if context.reached_view and not was_stopped_by_csrf_check(request):
        return False
    try:
        request.body  # noqa: B018 - raises before it reads
    except RequestDataTooBig:
        return True
    except Exception:  # noqa: BLE001 - read already, or nobody there any more
        return False
    return False


def _was_csrf(request: HttpRequest, context: GuardContext) -> bool:
    """Whether Django's CSRF middleware refused."""
    return context.reached_view and context.exception is None and was_stopped_by_csrf_check(request)


def was_stopped_by_csrf_check(request: HttpRequest) -> bool:
    """Whether Django's CSRF middleware ran, and never let the request go on to its view."""
    match = request.resolver_match
    return (
        any(re.search(r"\bCsrfViewMiddleware$", path) for path in django_settings.MIDDLEWARE)
        and match is not None
        and not getattr(match.func, "csrf_exempt", False)
        and not getattr(request, "csrf_processing_done", False)
    )
