"""The name that a request is for, as Django judges it.

``ALLOWED_HOSTS`` is walked for every call of ``get_host()``. The same name is
judged alike as long as the settings are the same, so what was allowed is known.
"""

from __future__ import annotations

from typing import Literal

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest

from ..rules.recent import Recent

# A host's name has at most 253 characters; a port is behind it.
LONGEST = 260
_allowed: Recent[tuple[str, tuple[str, ...], bool], Literal[True]] = Recent(256)


def host_of(request: HttpRequest) -> str | None:
    """``request.get_host()``; ``None`` for a name that is not allowed."""
    host = request.META.get("HTTP_HOST")
    # Where a proxy's header or the server names it, or a project's own request does, it is asked.
    if not host or settings.USE_X_FORWARDED_HOST or type(request).get_host is not _GET_HOST:
        return _judged(request)
    name = (host, tuple(settings.ALLOWED_HOSTS), settings.DEBUG)
    if _allowed.get(name):
        return str(host)
    judged = _judged(request)
    if judged == host and len(host) <= LONGEST:
        _allowed.put(name, True)
    return judged


_GET_HOST = HttpRequest.get_host


def _judged(request: HttpRequest) -> str | None:
    try:
        return request.get_host()
    except DisallowedHost:
        return None
