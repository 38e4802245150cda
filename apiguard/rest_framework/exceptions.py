"""``EXCEPTION_HANDLER``: every error of DRF in the shape of the middleware's.

Validation errors keep their field details as the member ``errors``. A person
who looks at the browsable API still sees HTML.
"""

from __future__ import annotations

from typing import Any

from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_handler

from ..request.passage import Passage
from ..request.problem import CONTENT_TYPES, encode, error_code, problem
from .adopt import Refused, passage_of


class ProblemResponse(Response):
    """JSON whatever was negotiated; ``data`` stays there for tests and signals."""

    @property
    def rendered_content(self) -> bytes:  # type: ignore[override]
        self["Content-Type"] = self.content_type or ""
        return encode(self.data)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's handler, with our body; ``None`` for what DRF does not handle."""
    response = drf_handler(exc, context)
    if response is None:
        return None
    request = context["request"]
    passage = _passage(request)
    if passage is None:
        return response
    members = _members(exc, response, passage)
    renderer = getattr(request, "accepted_renderer", None)
    if getattr(renderer, "format", "") in ("html", "api"):
        response.data = members
        return response
    content_type = CONTENT_TYPES[passage.settings.error_format]
    headers = dict(response.headers)
    headers.pop("Content-Type", None)
    answer = ProblemResponse(members, response.status_code, headers=headers)
    answer.content_type = content_type
    return answer


def _passage(request: Any) -> Passage | None:
    try:
        return passage_of(request)
    except Refused:
        return None  # No policy can be read: DRF's own shape is better than none.


def _members(exc: Exception, response: Response, passage: Passage) -> dict[str, Any]:
    code, detail, errors = response.status_code, "", None
    error = error_code(code)
    retry_after: int | None = None
    violated: tuple[str, ...] = ()
    if isinstance(exc, Refused):
        refusal = exc.verdict.refusal
        error, detail = (refusal.error, refusal.detail) if refusal else (error, "")
        retry_after, violated = exc.verdict.retry_after, exc.verdict.violated
        for name, value in exc.verdict.all_headers:
            response[name] = value
    elif isinstance(exc, exceptions.ValidationError):
        detail, errors = "The request is invalid", response.data
    else:
        error, detail = _of_drf(exc, response, error)
        wait = getattr(exc, "wait", None)
        retry_after = None if wait is None else max(1, int(-(-wait // 1)))
    return problem(
        code,
        error,
        detail,
        passage.request_id,
        error_format=passage.settings.error_format,
        retry_after=retry_after,
        violated=violated,
        errors=errors,
    )


_KNOWN = frozenset({400, 401, 403, 404, 405, 406, 413, 415, 429, 500, 503})
_OWN_CODES = {429: "too_many_requests"}


def _of_drf(exc: Exception, response: Response, error: str) -> tuple[str, str]:
    data = response.data
    detail = data.get("detail") if isinstance(data, dict) else None
    text = str(detail) if detail is not None else "The request was refused"
    code = response.status_code
    if code == status.HTTP_403_FORBIDDEN and text.startswith("CSRF Failed"):
        return "csrf_failed", "CSRF verification failed"
    if code == 404:
        return "not_found", text
    if code not in _KNOWN and isinstance(exc, exceptions.APIException):
        return str(getattr(exc, "default_code", error)), text
    return _OWN_CODES.get(code, error), text
