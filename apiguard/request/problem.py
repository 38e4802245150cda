"""The body of a refusal: RFC 9457 problem details, or the simple shape.

Built in one place, so that the middleware, DRF and Django's own errors send
the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"

CONTENT_TYPES = {"problem": "application/problem+json", "simple": "application/json"}

# RFC 9110 renamed these; older Pythons still have the old phrases.
_TITLES = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}

_ERRORS = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    413: "payload_too_large",
    500: "internal_error",
    503: "service_unavailable",
}


def title(status: int) -> str:
    """Return the reason phrase of a status code (RFC 9110 section 15)."""
    if status in _TITLES:
        return _TITLES[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def error_code(status: int) -> str:
    """Return the ``error`` member for a status that no stage of ours produced."""
    snake_cased = re.sub(r"[^a-z0-9]+", "_", title(status).lower()).strip("_")
    return _ERRORS.get(status, snake_cased)


def problem(
    status: int,
    error: str,
    detail: str,
    request_id: str,
    *,
    error_format: Literal["problem", "simple"] = "problem",
    retry_after: int | None = None,
    violated: Sequence[str] = (),
    errors: object = None,
) -> dict[str, Any]:
    """Return the members of a refusal's body, in the order in which they are sent.

    Args:
        retry_after: whole seconds.
        violated: names of the exceeded limits (draft-ietf-httpapi-ratelimit-headers).
        errors: field errors of a validation, as DRF shapes them.
    """
    members: dict[str, Any] = {"error": error, "message": detail, "requestId": request_id}
    if retry_after is not None:
        members["retryAfter"] = retry_after
    if error_format == "problem":
        members = {
            "type": QUOTA_EXCEEDED if violated else "about:blank",
            "title": title(status),
            "status": status,
            "detail": detail,
            **members,
        }
        if violated:
            members["violated-policies"] = list(violated)
    if errors is not None:
        members["errors"] = errors
    return members


def encode(members: Mapping[str, Any]) -> bytes:
    """Return the body as bytes."""
    return json.dumps(members, ensure_ascii=False, default=str).encode("utf-8", "replace")
