"""How a refusal goes through Django REST framework, and the request that it wraps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.http import HttpRequest
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from ..request import at_view
from ..request.verdict import Verdict


class RequestRefused(APIException):
    """A verdict of ours on its way through DRF's exception handling.

    DRF's own handler reads ``auth_header`` and ``wait``, so that
    challenge and ``Retry-After`` are sent whichever handler is installed.
    ``recorded``: whether it stands in the log and the counts already.
    """

    def __init__(self, verdict: Verdict, *, recorded: bool = False) -> None:
        refusal = verdict.refusal
        if refusal is None:
            raise ValueError("An admitting verdict is not an exception.")
        super().__init__(refusal.detail, refusal.error)
        self.verdict = verdict
        self.recorded = recorded
        self.status_code = refusal.status
        self.auth_header = dict(verdict.headers).get("WWW-Authenticate", "")
        if verdict.retry_after is not None:
            self.wait = verdict.retry_after


@contextmanager
def raising_for_drf() -> Iterator[None]:
    """Turn a refusal into the exception that DRF handles."""
    try:
        yield
    except at_view.RequestRefused as refused:
        raise RequestRefused(refused.verdict, recorded=refused.recorded) from refused


def django_request_of(request: Request) -> HttpRequest:
    """Return the request that DRF's request wraps.

    DRF has no public name for it, and its own documentation says ``_request``. What is
    set on DRF's request is not seen by middleware, nor by another view that
    the same request is passed on to.
    """
    django_request: HttpRequest = request._request
    return django_request
