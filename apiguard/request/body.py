"""Bodies without Content-Length: read within bounds, handed on with a length.

Django under WSGI takes a chunked body for an empty one, and DRF under either
gateway believes ``CONTENT_LENGTH`` alone. RFC 9112 section 6.3.
"""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import Any

from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from .content import too_large
from .context import GuardContext
from .django_private import body_stream, replace_body_stream
from .facts import spooled_length
from .verdict import Outcome, Verdict

CHUNK = 64 * 1024


def read(request: HttpRequest, context: GuardContext) -> Verdict | None:
    """Give the request's body a length, or refuse one that is too long."""
    facts, route = context.facts, context.route
    if route is None or facts.content_length is not None:
        return None
    limit = route.max_body_bytes
    if isinstance(request, ASGIRequest):
        stream: Any = body_stream(request)
        return (
            _measured(request, limit) if stream.seekable() else _spooled(request, context, stream)
        )
    if facts.unknown_length != "delimited":
        return None
    return _spooled(request, context, request.META["wsgi.input"])


def _measured(request: ASGIRequest, limit: int | None) -> Verdict | None:
    """Under ASGI Django has spooled the body before any middleware runs."""
    length = spooled_length(body_stream(request))
    if limit is not None and length > limit:
        return too_large(limit)
    if length:
        request.META["CONTENT_LENGTH"] = str(length)
    return None


def _spooled(request: HttpRequest, context: GuardContext, source: Any) -> Verdict | None:
    limit = context.route.max_body_bytes if context.route is not None else None
    if limit is None:
        # Nobody announced how much it is: more than Django keeps of a body is not taken.
        limit = getattr(django_settings, "DATA_UPLOAD_MAX_MEMORY_SIZE", None)
    memory = django_settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    spool: Any = SpooledTemporaryFile(max_size=memory)  # noqa: SIM115
    context.spool = spool
    length = 0
    while limit is None or length <= limit:
        most = CHUNK if limit is None else min(CHUNK, limit + 1 - length)
        try:
            chunk = source.read(most)
        except Exception as error:  # noqa: BLE001 - each server has errors of its own
            # Malformed chunks, or nobody there any more.
            return Verdict(Outcome.BODY_UNREADABLE, reason=repr(error))
        if not chunk:
            break
        spool.write(chunk)
        length += len(chunk)
    if limit is not None and length > limit:
        return too_large(limit)
    spool.seek(0)
    request.META["wsgi.input"] = spool
    if length:
        request.META["CONTENT_LENGTH"] = str(length)
    replace_body_stream(request, spool)
    return None
