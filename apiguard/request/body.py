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
from .passage import Passage
from .verdict import Verdict

CHUNK = 64 * 1024


def read(request: HttpRequest, passage: Passage) -> Verdict | None:
    """Give the request's body a length, or refuse one that is too long."""
    facts, route = passage.facts, passage.route
    if route is None or facts.content_length is not None:
        return None
    limit = route.max_body_bytes
    if isinstance(request, ASGIRequest):
        return _measured(request, limit)
    if facts.unknown_length != "delimited":
        return None
    return _spooled(request, limit)


def _measured(request: ASGIRequest, limit: int | None) -> Verdict | None:
    """Under ASGI Django has spooled the body before any middleware runs."""
    stream: Any = request._stream
    length = stream.seek(0, 2)
    stream.seek(0)
    if limit is not None and length > limit:
        return too_large(limit)
    if length:
        request.META["CONTENT_LENGTH"] = str(length)
    return None


def _spooled(request: HttpRequest, limit: int | None) -> Verdict | None:
    source = request.META["wsgi.input"]
    memory = django_settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    # Closed by the garbage collector with the request that it belongs to.
    spool: Any = SpooledTemporaryFile(max_size=memory)  # noqa: SIM115
    length = 0
    while limit is None or length <= limit:
        most = CHUNK if limit is None else min(CHUNK, limit + 1 - length)
        chunk = source.read(most)
        if not chunk:
            break
        spool.write(chunk)
        length += len(chunk)
    if limit is not None and length > limit:
        spool.close()
        return too_large(limit)
    spool.seek(0)
    request.META["wsgi.input"] = spool
    request.META["CONTENT_LENGTH"] = str(length)
    request._stream = spool
    return None
