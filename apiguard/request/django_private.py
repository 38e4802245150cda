"""Everything of Django that has no public way, in one place.

Each function says why there is none. ``tests/request/test_django_private.py``
fails where a version of Django has moved one of them.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

# Lower-case name -> (name, value).
HeaderTable = MutableMapping[str, tuple[str, str]]


def header_table(response: HttpResponseBase) -> HeaderTable:
    """Return the table behind ``response.headers``, to write many headers at once.

    ``response.headers[name] = value`` encodes and checks both on every write:
    20 us or more for twenty headers, against 3 us. So what is written here must
    have been checked before: policy is checked when it is compiled.
    """
    table: HeaderTable = response.headers._store
    return table


def body_stream(request: HttpRequest) -> Any:
    """Return the file that a request's body is read from.

    Only ``_stream`` tells how long a body is that ASGI has spooled, without
    reading it into memory.
    """
    return request._stream


def replace_body_stream(request: HttpRequest, stream: Any) -> None:
    """Let the request's body be read from another file.

    Django takes ``wsgi.input`` once, when the request is made, and cuts it off
    at the length that was declared then.
    """
    request._stream = stream


def exempt_from_csrf(request: HttpRequest) -> None:
    """Exempt one request from the CSRF check.

    ``csrf_exempt`` exempts a view, so it would exempt requests with a cookie too.
    """
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]


def close_with(response: HttpResponseBase, close: Callable[[], object]) -> None:
    """Call ``close`` when the response is closed.

    The signal ``request_finished`` names no response, and under ASGI another
    request may end first.
    """
    response._resource_closers.append(close)  # type: ignore[attr-defined]


def take_over_closers(replacement: HttpResponseBase, unsent: HttpResponseBase) -> None:
    """Close with a response what another one holds that is never sent.

    ``unsent.close()`` would send ``request_finished`` before the request is.
    """
    replacement._resource_closers += unsent._resource_closers  # type: ignore[attr-defined]
