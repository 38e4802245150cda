"""The name that a request is for, as Django judges it.

``ALLOWED_HOSTS`` is walked for every call of ``get_host()``. The same name is
judged alike as long as the settings are the same, so what was allowed is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from typing import Any, Literal

import django.http.request
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest

from ..rules.recent import Recent

# A host's name has at most 253 characters; a port is behind it.
LONGEST = 260
# Hosts of one list of allowed ones; another list begins another table.
ROOM = 256


class _Known:
    """Hosts that were allowed by one state of the settings."""

    def __init__(self, allowed: Sequence[str], debug: bool) -> None:
        # A list of our own: that of the settings may be changed in place.
        self.allowed = copy(allowed)
        self.debug = debug
        self.hosts: Recent[str, Literal[True]] = Recent(ROOM)


_known = _Known((), False)


def host_of(request: HttpRequest) -> str | None:
    """``request.get_host()``; ``None`` for a name that is not allowed."""
    global _known
    host: str | None = request.META.get("HTTP_HOST")
    # Where a proxy's header or the server names it, or a project has its own way, it is asked.
    if not host or settings.USE_X_FORWARDED_HOST or not _is_djangos(type(request).get_host):
        return _judged(request)
    known, allowed, debug = _known, settings.ALLOWED_HOSTS, settings.DEBUG
    if known.debug is not debug or known.allowed != allowed:
        known = _known = _Known(allowed, debug)
    if known.hosts.get(host):
        return host
    judged = _judged(request)
    if judged == host and len(host) <= LONGEST:
        known.hosts.put(host, True)
    return judged


@lru_cache(maxsize=8)
def _is_djangos(method: Any) -> bool:
    # Not by identity: what was patched in before this module was loaded would pass for Django's.
    return getattr(method, "__globals__", None) is vars(django.http.request)


def _judged(request: HttpRequest) -> str | None:
    try:
        return request.get_host()
    except DisallowedHost:
        return None
