"""What leaves: headers on every response of a route, and errors in one shape.

``refuse`` makes the response of a verdict; ``finish`` completes any response
of an enforced route, refusals included. A response is changed in place: it
keeps its cookies, its status and whatever the view has set.
"""

from __future__ import annotations

import re

from django.conf import settings as django_settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from ..conf import Settings
from ..policy.snapshot import HeaderRule
from ..rules.headers import merge_vary
from ..rules.limits import rate_limit_headers
from ..rules.media import prefers_html
from . import cors
from .passage import Passage
from .problem import CONTENT_TYPES, encode, error_code, problem, title
from .verdict import Outcome, Verdict

# One decision about caching: a view that makes it makes all of it.
CACHING = frozenset({"cache-control", "pragma", "expires"})


# -- refusals -----------------------------------------------------------------


def refuse(passage: Passage, verdict: Verdict) -> HttpResponse:
    """The response of a verdict that lets no view run."""
    return _response_of(verdict, passage.request_id, passage.settings)


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
        # No middleware behind us sees this response to add it.
        response.headers["Content-Length"] = str(len(response.content))
    for name, value in verdict.all_headers:
        response.headers[name] = value
    return response


# -- every response of a route --------------------------------------------------


def finish(request: HttpRequest, passage: Passage, response: HttpResponseBase) -> None:
    """Complete a response of an enforced route, in place."""
    route = passage.route
    if route is None:
        return
    if response.status_code >= 400:
        _as_problem(request, passage, response)
    refused, secure = passage.verdict.refused, passage.facts.secure
    _apply_rules(response, route.headers, secure=secure, refused=refused)
    _apply_cors(passage, response)
    if passage.decision is not None:
        for name, value in rate_limit_headers(
            passage.decision, passage.settings.rate_limit_headers
        ):
            response.headers[name] = value
    _apply_vary(passage, response)


def _apply_rules(
    response: HttpResponseBase, rules: tuple[HeaderRule, ...], *, secure: bool, refused: bool
) -> None:
    headers = response.headers
    view_caches = not refused and any(name in headers for name in CACHING)
    for rule in rules:
        if rule.https_only and not secure:
            continue
        if rule.mode == "remove":
            headers.pop(rule.name, None)
        elif rule.mode == "force" or (
            rule.name not in headers and not (view_caches and rule.name.lower() in CACHING)
        ):
            headers[rule.name] = rule.value


def _apply_cors(passage: Passage, response: HttpResponseBase) -> None:
    route = passage.route
    if route is None or route.cors is None:
        return
    if passage.verdict.outcome is not Outcome.PREFLIGHT_ANSWERED:
        # What a view or another middleware said would make a second answer.
        for name in [name for name in response.headers if _is_cors(name)]:
            del response.headers[name]
    for name, value in cors.response_headers(passage):
        response.headers[name] = value


def _is_cors(name: str) -> bool:
    return name.lower().startswith("access-control-")


def _apply_vary(passage: Passage, response: HttpResponseBase) -> None:
    route, facts = passage.route, passage.facts
    if route is None or cors.is_answered_preflight(passage):
        return  # A preflight's own Vary is complete, and no credential is wanted there.
    names = []
    if route.cors is not None and not route.cors.origins.any:
        names.append("Origin")
    if (
        route.access == "credentials"
        or facts.authorization is not None
        or facts.api_key is not None
    ):
        names += ["Authorization", passage.settings.api_key_header]
    if names:
        response.headers["Vary"] = merge_vary(response.headers.get("Vary", ""), names)


# -- errors of Django and DRF ---------------------------------------------------


def _as_problem(request: HttpRequest, passage: Passage, response: HttpResponseBase) -> None:
    """Replace an error that is still HTML, unless a person's browser asked for HTML."""
    if not isinstance(response, HttpResponse) or not _is_page(passage, response):
        return
    accept = passage.facts.accept
    if accept is not None and prefers_html(accept):
        return
    status, error, detail = describe(request, passage, response.status_code)
    response.status_code = status
    error_format = passage.settings.error_format
    members = problem(status, error, detail, passage.request_id, error_format=error_format)
    response.content = encode(members)
    response.headers["Content-Type"] = CONTENT_TYPES[error_format]
    for name in ("Content-Encoding", "Content-Language", "ETag"):
        response.headers.pop(name, None)
    if "Content-Length" in response.headers:
        response.headers["Content-Length"] = str(len(response.content))


def _is_page(passage: Passage, response: HttpResponse) -> bool:
    """HTML, or the plain text that Django sends of an exception under DEBUG."""
    content_type = response.headers.get("Content-Type", "").lower()
    technical = django_settings.DEBUG and passage.exception is not None
    return content_type.startswith("text/html") or (
        technical and content_type.startswith("text/plain")
    )


def describe(request: HttpRequest, passage: Passage, status: int) -> tuple[int, str, str]:
    """Status, error code and text for an error of Django's."""
    if isinstance(passage.exception, RequestDataTooBig) or (
        status == 400 and _was_too_big(request, passage)
    ):
        limit = django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        return 413, "payload_too_large", f"The body is larger than the limit of {limit} bytes"
    if status == 403 and _was_csrf(request, passage):
        return 403, "csrf_failed", "CSRF verification failed"
    if status >= 500:
        return status, error_code(status), _server_error(passage)
    return status, error_code(status), _DETAILS.get(status, title(status))


_DETAILS = {
    400: "The request is malformed",
    403: "Permission denied",
    404: "Nothing is found here",
    405: "The method is not allowed here",
}


def _server_error(passage: Passage) -> str:
    if django_settings.DEBUG and passage.exception is not None:
        return f"{type(passage.exception).__name__}: {passage.exception}"
    return "An error occurred"


def _was_too_big(request: HttpRequest, passage: Passage) -> bool:
    """Whether a middleware met RequestDataTooBig, which no hook of ours gets to see.

    Django then marks the form as empty, without having read any of the body.
    """
    limit: int | None = getattr(django_settings, "DATA_UPLOAD_MAX_MEMORY_SIZE", None)
    said = passage.facts.content_length
    unread = not hasattr(request, "_body") and not getattr(request, "_read_started", True)
    if limit is None or said is None or passage.exception is not None:
        return False
    return unread and hasattr(request, "_post") and int(said) > limit


def _was_csrf(request: HttpRequest, passage: Passage) -> bool:
    """Whether Django's CSRF middleware refused: it ran, and never accepted."""
    installed = any(
        re.search(r"\bCsrfViewMiddleware$", path) for path in django_settings.MIDDLEWARE
    )
    view = getattr(getattr(request, "resolver_match", None), "func", None)
    return (
        installed
        and passage.reached_view
        and passage.exception is None
        and not getattr(view, "csrf_exempt", False)
        and not getattr(request, "csrf_processing_done", False)
    )
