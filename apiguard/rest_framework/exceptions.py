"""``EXCEPTION_HANDLER``: every error of DRF in the shape of the middleware's.

Validation errors keep their field details as the member ``errors``. A person
the browsable API still shows HTML.
"""

from __future__ import annotations

import logging
import math
from typing import Any

from django.conf import settings as django_settings
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_handler

from ..request import access
from ..request.at_view import record_answer, record_refusal, without_policy
from ..request.context import GuardContext
from ..request.problem import CONTENT_TYPES, encode, error_code, problem
from ..request.verdict import Verdict
from ..rules.accept import prefers_html
from .context import RequestRefused, django_request_of

logger = logging.getLogger("apiguard.request")


class ProblemResponse(Response):
    """JSON whatever was negotiated; ``data`` stays there for tests and signals."""

    @property
    def rendered_content(self) -> bytes:  # type: ignore[override]
        self["Content-Type"] = self.content_type or ""
        return encode(self.data)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's handler, with our body; ``None`` for what DRF does not handle."""
    response = drf_handler(exc, context)
    request = context.get("request")
    if response is None or request is None:
        return response
    if response.status_code == 500:
        # Django logs what nobody handled; this was handled, and its text is not sent.
        logger.error("A view failed: %s", type(exc).__name__, exc_info=exc)
    guard = _context(request)
    members = _members(exc, response, guard)
    if _is_for_a_person(request, guard):
        response.data = members
    else:
        response = _problem(members, response, guard)
    if response.status_code in (401, 403, 429) and not isinstance(exc, RequestRefused):
        record_answer(guard, response.status_code)
    settings = guard.settings
    if not settings.exempt_paths.find(django_request_of(request).path_info):
        response.headers[settings.request_id_header] = guard.request_id
    return response


def _context(request: Any) -> GuardContext:
    # Policy plays no part here, and cannot be read in a broken transaction.
    guard: GuardContext | None = getattr(django_request_of(request), "apiguard", None)
    return without_policy(django_request_of(request)) if guard is None else guard


def _is_for_a_person(request: Any, guard: GuardContext) -> bool:
    """Whether a browser asked for HTML, and the view renders it."""
    renderer, accept = getattr(request, "accepted_renderer", None), guard.facts.accept
    renders_html = str(getattr(renderer, "media_type", "")).startswith("text/html")
    return renders_html and accept is not None and prefers_html(accept)


def _problem(members: dict[str, Any], response: Response, guard: GuardContext) -> ProblemResponse:
    headers = dict(response.headers)
    headers.pop("Content-Type", None)
    answer = ProblemResponse(members, response.status_code, headers=headers)
    answer.content_type = CONTENT_TYPES[guard.settings.error_format]
    return answer


def _members(exc: Exception, response: Response, guard: GuardContext) -> dict[str, Any]:
    verdict = _verdict(exc, response, guard)
    if verdict is not None and verdict.refusal is not None:
        return problem(
            response.status_code,
            verdict.refusal.error,
            verdict.refusal.detail,
            guard.request_id,
            error_format=guard.settings.error_format,
            retry_after=verdict.retry_after,
            violated=verdict.violated,
        )
    validation = isinstance(exc, exceptions.ValidationError)
    wait = getattr(exc, "wait", None)
    return problem(
        response.status_code,
        _error(exc, response.status_code),
        "The request is invalid" if validation else _detail(response),
        guard.request_id,
        error_format=guard.settings.error_format,
        retry_after=None if wait is None else max(1, math.ceil(wait)),
        errors=response.data if validation else None,
    )


def _verdict(exc: Exception, response: Response, guard: GuardContext) -> Verdict | None:
    """The verdict that this exception stands for, if it is one of ours; its headers are set."""
    if isinstance(exc, RequestRefused):
        if not exc.recorded:
            record_refusal(guard, exc.verdict)
        if not guard.verdict.refused:
            guard.verdict = exc.verdict
        for name, value in exc.verdict.all_headers:
            response[name] = value
        return exc.verdict
    # DRF's permissions found nobody: said in the words of the middleware.
    anonymous = isinstance(exc, exceptions.NotAuthenticated) and response.status_code == 401
    return access.no_credential(guard) if anonymous else None


def _error(exc: Exception, status: int) -> str:
    """Return the ``error`` member for a refusal of DRF's or the view's own."""
    code = str(getattr(exc, "default_code", exceptions.APIException.default_code))
    if status == 403 and _is_csrf(exc):
        return "csrf_failed"
    if status in (400, 403, 404) or code == exceptions.APIException.default_code:
        return error_code(status)
    return code


def _is_csrf(exc: Exception) -> bool:
    return str(getattr(exc, "detail", "")).startswith("CSRF Failed")


def _detail(response: Response) -> str:
    data = response.data
    if response.status_code == 500 and not django_settings.DEBUG:
        return "An error occurred"
    detail = data.get("detail") if isinstance(data, dict) else None
    if detail is None:
        return "The request was refused"
    text = str(detail)
    return "CSRF verification failed" if text.startswith("CSRF Failed") else text
